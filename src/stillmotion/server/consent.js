// A short notice before the first use, remembered in this browser.
(() => {
  const KEY = "stillmotion-consent";
  const show = () => {
    let given = null;
    try { given = localStorage.getItem(KEY); } catch (error) { given = null; }
    if (given || document.getElementById("consent")) return;
    const dialog = document.createElement("dialog");
    dialog.id = "consent";
    dialog.setAttribute("aria-labelledby", "consent-title");
    dialog.style.cssText = "max-width:32em;padding:1.4em 1.6em;border:0;border-radius:12px;font:16px/1.5 system-ui,sans-serif;color:#111;background:#fff;margin:auto";
    dialog.innerHTML =
      '<h2 id="consent-title" style="margin:0 0 .5em;font-size:1.25em;color:#111">Before you begin</h2>' +
      "<p>This animates a picture of a face: it shows movements that person never made.</p>" +
      "<ul style='padding-left:1.2em;list-style:disc'><li>Only use pictures of people who agreed to it, of yourself, or of nobody real.</li>" +
      "<li>Never deceive, harass or impersonate anybody with the result.</li>" +
      "<li>Say that it is generated wherever you show it. Every file says so in its metadata.</li></ul>" +
      "<button id='consent-yes' style='margin-top:1em;padding:.6em 1.4em;font:inherit;font-weight:600;color:#fff;background:#c2410c;border:0;border-radius:8px;cursor:pointer'>I understand</button>";
    document.body.append(dialog);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.querySelector("#consent-yes").addEventListener("click", () => {
      try { localStorage.setItem(KEY, new Date().toISOString()); } catch (error) { /* asked again next time */ }
      dialog.close();
      dialog.remove();
    });
    dialog.showModal();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", show);
  else show();
})();
