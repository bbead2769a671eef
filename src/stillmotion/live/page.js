// The live page: camera out, result in, settings and numbers over a data channel.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const settings = { mode: "relative", mirror: true, overlay: false, auto: true, smooth: true, label: false, zoom: 1 };
  const visitor = (() => {
    let name = sessionStorage.getItem("stillmotion-visitor");
    if (!name) {
      name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
      sessionStorage.setItem("stillmotion-visitor", name);
    }
    return name;
  })();
  const state = { wanted: false, connection: null, channel: null, camera: null, captured: new Map(), delays: [], times: [], shown: 0, last: null, again: 500, timer: 0 };
  window.stillmotion = state; // read by tests and benchmarks

  const say = (text, isError = false) => {
    const said = find("said");
    if (said.textContent !== text) said.textContent = text;
    said.className = isError ? "error" : "";
  };

  const ask = async (path, body, headers = {}) => {
    const answer = await fetch(path, { method: "POST", body, headers: { "x-visitor": visitor, ...headers } });
    const type = answer.headers.get("content-type") || "";
    const content = type.includes("json") ? await answer.json() : { error: await answer.text(), hint: "" };
    if (!answer.ok) throw Object.assign(new Error(content.error), { hint: content.hint || "" });
    return content;
  };

  const send = (message) => {
    if (state.channel && state.channel.readyState === "open") state.channel.send(JSON.stringify(message));
  };

  const set = (changes) => {
    Object.assign(settings, changes);
    send({ set: changes });
    show();
  };

  const show = () => {
    for (const button of document.querySelectorAll("[data-set]")) {
      const name = button.dataset.set;
      const isOn = name === "mode" ? settings.mode === "relative" : settings[name];
      button.setAttribute("aria-pressed", String(isOn));
    }
    find("zoom").textContent = `${Math.round(settings.zoom * 100)} %`;
    find("camera").classList.toggle("mirrored", settings.mirror);
  };

  const toggle = (name) => set(name === "mode" ? { mode: settings.mode === "relative" ? "absolute" : "relative" } : { [name]: !settings[name] });
  const zoom = (factor) => set({ zoom: Math.min(2, Math.max(0.5, settings.zoom * factor)) });
  const calibrate = () => send({ do: "calibrate" });

  // The strip under the result holds the frame's number, which tells when its camera frame was captured.
  const strip = document.createElement("canvas");
  strip.width = 16; strip.height = 1;
  const ink = strip.getContext("2d", { willReadFrequently: true });
  const number = (video) => {
    ink.drawImage(video, 0, video.videoHeight - 6, video.videoWidth, 4, 0, 0, 16, 1);
    const pixels = ink.getImageData(0, 0, 16, 1).data;
    let word = 0;
    for (let block = 0; block < 16; block += 1) word = word * 2 + (pixels[block * 4] > 127 ? 1 : 0);
    const value = word >> 4;
    return (((value >> 8) + (value >> 4) + value + 5) & 15) === (word & 15) ? value : null;
  };

  const pending = new Map();
  const settle = () => {
    for (const [id, shownAt] of pending) {
      if (state.captured.has(id)) {
        const delay = shownAt - state.captured.get(id) * 1000;
        if (delay > 0 && delay < 10000) state.delays.push(delay);
        pending.delete(id);
      } else if (performance.timeOrigin + performance.now() - shownAt > 3000) pending.delete(id);
    }
    if (state.delays.length > 600) state.delays.splice(0, state.delays.length - 600);
  };

  const watch = (video) => {
    if (!video.requestVideoFrameCallback) return;
    const step = (now, facts) => {
      state.shown += 1;
      if (state.shown > 1 && state.connection) video.classList.add("shown");
      state.times.push(now);
      if (state.times.length > 120) state.times.shift();
      const id = number(video);
      if (id !== null) pending.set(id, performance.timeOrigin + (facts.expectedDisplayTime || now));
      video.requestVideoFrameCallback(step);
    };
    video.requestVideoFrameCallback(step);
  };

  const share = (part) => {
    const ordered = [...state.delays].sort((a, b) => a - b);
    return ordered.length ? ordered[Math.min(ordered.length - 1, Math.floor(part * ordered.length))] : null;
  };

  state.numbers = () => {
    const spent = state.times.length > 1 ? state.times[state.times.length - 1] - state.times[0] : 0;
    return { fps: spent ? (1000 * (state.times.length - 1)) / spent : 0, p50: share(0.5), p95: share(0.95), shown: state.shown, server: state.last };
  };

  const tell = (facts) => {
    for (const [id, captured] of facts.stamps) {
      state.captured.set(id, captured);
      if (state.captured.size > 500) state.captured.delete(state.captured.keys().next().value);
    }
    settle();
    delete facts.stamps;
    state.last = facts;
    const numbers = state.numbers();
    const delay = (value, server) => (value !== null ? `${Math.round(value)} ms` : server !== null ? `${Math.round(server)} ms` : "–");
    find("fps").textContent = (numbers.fps || facts.fps).toFixed(1);
    find("p50").textContent = delay(numbers.p50, facts.p50);
    find("p95").textContent = delay(numbers.p95, facts.p95);
    find("dropped").textContent = facts.seen ? `${Math.round((100 * facts.dropped) / facts.seen)} %` : "–";
    find("mismatch").textContent = facts.mismatch === null ? "–" : facts.mismatch.toFixed(2);
    say(facts.status === "live" ? "Live." : `${facts.status[0].toUpperCase()}${facts.status.slice(1)}.`, facts.failed);
  };

  const hang = () => {
    clearTimeout(state.timer);
    if (state.connection) {
      state.connection.onconnectionstatechange = null;
      state.connection.close();
    }
    state.connection = state.channel = null;
    find("calibrate").disabled = true;
  };

  const again = (why) => {
    hang();
    if (!state.wanted) return;
    say(`${why} Trying again…`, true);
    state.timer = setTimeout(connect, state.again);
    state.again = Math.min(state.again * 1.7, 8000);
  };

  // Before anything moves, and after it stopped, the photo itself is shown.
  const showStill = async () => {
    const answer = await fetch("/live/source", { headers: { "x-visitor": visitor } });
    if (!answer.ok) return;
    const still = find("still");
    if (still.src) URL.revokeObjectURL(still.src);
    still.src = URL.createObjectURL(await answer.blob());
  };

  const openCamera = async () => {
    const isAlive = state.camera && state.camera.getVideoTracks().some((track) => track.readyState === "live");
    if (isAlive) return;
    if (!navigator.mediaDevices) throw new Error("This browser gives no camera to pages that are not on this machine or on HTTPS.");
    state.camera = await navigator.mediaDevices.getUserMedia({ audio: false, video: { width: { ideal: 480 }, height: { ideal: 360 }, frameRate: { ideal: 30, max: 30 } } });
    find("camera").srcObject = state.camera;
    find("mine").hidden = false;
    state.camera.getVideoTracks()[0].onended = () => again("The camera has stopped.");
  };

  const connect = async () => {
    try {
      await openCamera();
    } catch (error) {
      again(error.name === "NotAllowedError" ? "The camera was not allowed: allow it in the address bar." : `No camera: ${error.message}.`);
      return;
    }
    const connection = new RTCPeerConnection({ iceServers: [] });
    state.connection = connection;
    const channel = connection.createDataChannel("live");
    state.channel = channel;
    channel.onopen = () => { find("calibrate").disabled = false; state.again = 500; send({ set: settings }); };
    channel.onmessage = (event) => tell(JSON.parse(event.data));
    channel.onclose = () => { if (state.connection === connection) again("The connection was lost."); };
    connection.ontrack = (event) => {
      const receiver = event.receiver;
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0; // newest frame first: nothing is played smoothly later
      find("result").srcObject = event.streams[0] || new MediaStream([event.track]);
    };
    connection.onconnectionstatechange = () => {
      if (["failed", "disconnected"].includes(connection.connectionState)) again("The connection was lost.");
    };
    for (const track of state.camera.getVideoTracks()) connection.addTrack(track, state.camera);
    try {
      await connection.setLocalDescription(await connection.createOffer());
      await new Promise((resolve) => {
        if (connection.iceGatheringState === "complete") resolve();
        connection.onicegatheringstatechange = () => { if (connection.iceGatheringState === "complete") resolve(); };
        setTimeout(resolve, 2000);
      });
      const body = JSON.stringify({ sdp: connection.localDescription.sdp, settings });
      const answer = await ask("/live/offer", body, { "content-type": "application/json" });
      if (state.connection !== connection) return;
      await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
      say("Connecting…");
    } catch (error) {
      again(error.hint ? `${error.message}; ${error.hint}.` : "The server does not answer.");
    }
  };

  const start = () => {
    state.wanted = !state.wanted;
    find("start").textContent = state.wanted ? "Stop" : "Start";
    if (state.wanted) {
      say("Waiting for the camera…");
      state.again = 500;
      connect();
    } else {
      hang();
      if (state.camera) state.camera.getTracks().forEach((track) => { track.onended = null; track.stop(); });
      state.camera = null;
      find("result").classList.remove("shown");
      find("camera").srcObject = null;
      find("mine").hidden = true;
      ask("/live/leave", "").then(showStill).catch(() => {});
      say("Stopped. Your photo was removed from the server.");
    }
  };

  find("start").onclick = start;
  find("calibrate").onclick = calibrate;
  find("in").onclick = () => zoom(1.1);
  find("out").onclick = () => zoom(1 / 1.1);
  for (const button of document.querySelectorAll("[data-set]")) button.onclick = () => toggle(button.dataset.set);
  find("photo").onchange = async (event) => {
    const file = event.target.files[0];
    if (!file) return;
    say("Preparing the photo…");
    try {
      await ask("/live/photo", file);
      await showStill();
      say("The photo is in.");
    } catch (error) {
      say(`${error.message}. ${error.hint || ""}`, true);
    }
    event.target.value = "";
  };
  const keys = { c: calibrate, r: () => toggle("mode"), m: () => toggle("mirror"), g: () => toggle("overlay"), a: () => toggle("auto"), s: () => toggle("smooth"), l: () => toggle("label"), p: () => find("photo").click(), "+": () => zoom(1.1), "-": () => zoom(1 / 1.1) };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const act = keys[event.key.toLowerCase()];
    if (act) act();
  });
  window.addEventListener("pagehide", () => navigator.sendBeacon(`/live/leave?visitor=${visitor}`));
  watch(find("result"));
  show();
  showStill().catch(() => {});
})();
