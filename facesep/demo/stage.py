"""A head that is turned by dragging it, with a finger too, or by the arrow keys."""

from __future__ import annotations

import base64

import gradio as gr

from facesep.demo.limits import MAX_PITCH, MAX_YAW

DEGREES = 120.0
"""By how many degrees a drag across the whole picture turns the head."""
STEP = 3.0
"""Degrees for a press of an arrow key."""
REST = 300
"""Milliseconds without a movement after which the full picture is asked for."""
HINT = "Drag the head to turn it, or press the arrow keys"

_JS = f"""
const limit = (value, most) => Math.round(Math.max(-most, Math.min(most, value)));
const slider = name => document.querySelector(`#${{name}} input[type=range]`);
let held = null, last = null, timer = 0;
element.tabIndex = 0;
element.setAttribute("role", "img");
element.setAttribute("aria-label", "{HINT}");
function ask(yaw, pitch, moving) {{
    window.facesepView = [limit(yaw, {MAX_YAW}), limit(pitch, {MAX_PITCH}), moving];
    clearTimeout(timer);
    last = moving ? [yaw, pitch] : null;
    if (moving) timer = setTimeout(() => ask(yaw, pitch, false), {REST});
    trigger("turn");
}}
const now = () => last || [Number(slider("yaw").value), Number(slider("pitch").value)];
element.addEventListener("pointerdown", event => {{
    if (!element.querySelector("img")) return;
    const [yaw, pitch] = now();
    held = {{x: event.clientX, y: event.clientY, yaw, pitch}};
    element.setPointerCapture(event.pointerId);
    element.focus();
    event.preventDefault();
}});
element.addEventListener("pointermove", event => {{
    if (!held) return;
    const share = {DEGREES} / element.clientWidth;
    ask(held.yaw + (event.clientX - held.x) * share, held.pitch + (event.clientY - held.y) * share, true);
}});
for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, () => {{ held = null; }});
const keys = {{ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}};
element.addEventListener("keydown", event => {{
    if (!(event.key in keys) || !element.querySelector("img")) return;
    event.preventDefault();
    const [yaw, pitch] = now(), [right, down] = keys[event.key];
    ask(limit(yaw + {STEP} * right, {MAX_YAW}), limit(pitch + {STEP} * down, {MAX_PITCH}), true);
}});
"""
VIEW = "(yaw, pitch, moving, ...others) => [...(window.facesepView || [yaw, pitch, false]), ...others]"
"""Puts the view that is dragged to in place of the first three inputs of an event."""
_TEMPLATE = '${value ? `<img alt="" draggable="false" src="${value}">` : `<p>The head appears here</p>`}'
_CSS = "touch-action: none; cursor: grab; &:active {cursor: grabbing} img {-webkit-user-drag: none}"


def stage(name: str) -> gr.HTML:
    """The place of the picture; its event is ``turn``, its value what ``picture`` gives."""
    return gr.HTML(
        html_template=_TEMPLATE,
        css_template=_CSS,
        js_on_load=_JS,
        elem_id=name,
        elem_classes="stage",
    )


def picture(data: bytes) -> str:
    """A picture as an address that holds it: no second request is needed."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
