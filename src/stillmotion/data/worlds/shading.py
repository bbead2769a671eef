"""The GLSL programs of the renderer. Light is linear inside; a gamma of 2 stands for sRGB."""

from __future__ import annotations

VERTEX = """
#version 330
in vec3 position; in vec3 normal; in vec2 uv; in vec4 material;
uniform vec2 centre; uniform float side; uniform float away;
uniform mat2 turn; uniform vec2 move; uniform mat4 shade;
uniform sampler2D shadow; uniform float hardness;
out vec3 v_position; out vec3 v_normal; out vec2 v_uv; flat out float v_part;
out float v_ambient; out float v_face; out float v_sun;

// The mesh is as fine as the picture: shadows per vertex look the same and cost a third.
float sunlight() {
    vec3 p = (shade * vec4(position + normal * 0.003, 1.0)).xyz * 0.5 + 0.5;
    vec2 texel = 1.0 / vec2(textureSize(shadow, 0));
    float sum = 0.0;
    for (int i = 0; i < 4; i++) {
        vec2 offset = (vec2(i & 1, i >> 1) - 0.5) * 3.0 * texel;
        sum += smoothstep(p.z - 0.018, p.z - 0.006, textureLod(shadow, p.xy + offset, 0.0).r);
    }
    return mix(1.0, sum * 0.25, hardness);
}

void main() {
    float w = 1.0 - position.z / away;
    vec2 plane = (position.xy - centre) * (2.0 / side);
    gl_Position = vec4(turn * plane + move * w, -position.z / 0.8, w);
    v_position = position; v_normal = normal; v_uv = uv;
    v_part = material.x; v_ambient = material.y; v_face = material.z;
    v_sun = sunlight();
}
"""

FRAGMENT = """
#version 330
in vec3 v_position; in vec3 v_normal; in vec2 v_uv; flat in float v_part;
in float v_ambient; in float v_face; in float v_sun;
uniform sampler2D albedo; uniform sampler2D hair;
uniform vec3 eye; uniform float bias;
uniform vec3 key_way; uniform vec3 key_colour; uniform vec3 fill_way; uniform vec3 fill_colour;
uniform vec3 rim_way; uniform vec3 rim_colour;
uniform vec3 sky; uniform vec3 ground; uniform float gloss; uniform float relief; uniform vec3 glass_colour;
out vec4 colour;

void main() {
    int part = int(v_part + 0.5);
    vec3 n = normalize(v_normal);
    vec3 view = normalize(eye - v_position);
    if (dot(n, view) < 0.0) n = -n;
    vec3 base;
    if (part == 7) base = texture(hair, v_uv).rgb;
    else if (part == 8) base = glass_colour;
    else base = texture(albedo, v_uv, bias).rgb;
    base *= base;
    bool eyeball = part == 1 || part == 2;
    bool teeth = part == 5 || part == 6;
    if (part != 8 && !eyeball) {
        // The photographic albedo's own relief as a bump: strands of hair and pores of skin catch light.
        float height = dot(base, vec3(0.33)) * relief;
        vec3 dx = dFdx(v_position), dy = dFdy(v_position);
        vec3 r1 = cross(dy, n), r2 = cross(n, dx);
        float det = dot(dx, r1);
        vec3 gradient = sign(det) * (clamp(dFdx(height), -0.001, 0.001) * r1 + clamp(dFdy(height), -0.001, 0.001) * r2);
        n = normalize(max(abs(det), 1e-9) * n - gradient);
    }
    float open = v_ambient;
    if (eyeball) open = 0.35 + 0.65 * smoothstep(0.0, 0.4, open);
    if (teeth) open = 0.30;
    float sunlit = v_sun;
    if (teeth) sunlit = mix(sunlit, 1.0, 0.25) * 0.7;
    vec3 red = part == 0 ? vec3(0.32, 0.20, 0.16) : vec3(0.2);
    vec3 wrapped = clamp((vec3(dot(n, key_way)) + red) / (1.0 + red), 0.0, 1.0);
    vec3 light = key_colour * wrapped * sunlit;
    light += fill_colour * clamp((dot(n, fill_way) + 0.4) / 1.4, 0.0, 1.0) * open;
    light += mix(ground, sky, n.y * 0.5 + 0.5) * (0.15 + 0.85 * open);
    float facing = 1.0 - clamp(dot(n, view), 0.0, 1.0);
    light += rim_colour * facing * facing * facing * clamp(dot(n, rim_way) + 0.2, 0.0, 1.0) * open;
    vec3 shine = vec3(0.0);
    vec3 halfway = normalize(key_way + view);
    float hard = eyeball ? 220.0 : (teeth ? 60.0 : (part == 8 ? 60.0 : 18.0));
    float amount = gloss * mix(0.3, 1.0, v_face);
    if (part == 7) amount = 0.05;
    if (teeth) amount = 0.25;
    if (eyeball || part == 8) amount = 0.5;
    // exp2 in place of pow: the same lobe for half the price.
    shine += key_colour * amount * sunlit * exp2(1.44 * hard * (dot(n, halfway) - 1.0));
    shine += fill_colour * amount * 0.6 * open * exp2(1.44 * hard * (dot(n, normalize(fill_way + view)) - 1.0));
    vec3 linear = base * light + shine;
    linear = linear / (1.0 + max(linear - 0.8, 0.0));
    colour = vec4(sqrt(clamp(linear, 0.0, 1.0)), 1.0);
}
"""

DEPTH_VERTEX = """
#version 330
in vec3 position;
uniform mat4 shade;
out float v_depth;
void main() { gl_Position = shade * vec4(position, 1.0); v_depth = gl_Position.z * 0.5 + 0.5; }
"""

DEPTH_FRAGMENT = """
#version 330
in float v_depth;
out float depth;
void main() { depth = v_depth; }
"""

IDS_VERTEX = """
#version 330
in vec3 position;
uniform vec2 centre; uniform float side; uniform float away; uniform mat2 turn; uniform vec2 move;
void main() {
    float w = 1.0 - position.z / away;
    gl_Position = vec4(turn * ((position.xy - centre) * (2.0 / side)) + move * w, -position.z / 0.8, w);
}
"""

IDS_FRAGMENT = """
#version 330
uniform int first;
out uint id;
void main() { id = uint(gl_PrimitiveID + first + 1); }
"""

BACKDROP_VERTEX = """
#version 330
in vec2 corner;
uniform mat2 turn; uniform vec2 move; uniform float reach;
out vec2 v_uv;
void main() {
    gl_Position = vec4(corner, 0.999, 1.0);
    vec2 world = inverse(turn) * (corner - move);
    v_uv = vec2(world.x, -world.y) / reach * 0.5 + 0.5;
}
"""

BACKDROP_FRAGMENT = """
#version 330
in vec2 v_uv;
uniform sampler2D picture;
out vec4 colour;
void main() { colour = vec4(texture(picture, v_uv).rgb, 1.0); }
"""
