"""Live: the face of the webcam moves the face of the photo, frame by frame. No frame is kept."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass, field

import gradio as gr
from PIL import Image

from facesep.codes import Codes
from facesep.demo import actions
from facesep.demo.computing import computed
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import MAX_FRAME
from facesep.demo.page import Visit
from facesep.demo.stage import picture
from facesep.driving import look, moving_attributes
from facesep.errors import ImageError
from facesep.faces import Face
from facesep.images import load_image

SIZES = (256, 512)
"""Sides of live pictures in pixels."""
LIVE = "live"
"""Where a visit keeps what is followed."""
SHARE = 0.6
"""Weight of the newest frame: motion is averaged over time, so that it does not shake."""
_PREFIX = "data:image/jpeg;base64,"


@dataclass
class Following:
    """What is kept between two frames: where the face is, and its codes.

    Attributes:
        face: in the frame before.
        codes: averaged over time.
        first: those of the first frame.
        count: frames so far.
        since: when the frame before was finished, on a clock in seconds.
        rate: frames a second, averaged.
    """

    face: Face | None = None
    codes: Codes | None = None
    first: Codes | None = None
    count: int = 0
    since: float = field(default_factory=time.monotonic)
    rate: float = 0.0


_look = computed(on_gpu(look))


def frame(text: str) -> Image.Image:
    """A frame of the webcam as it comes from the browser.

    Raises:
        ImageError: for anything but a small JPEG picture in an address.
    """
    if not isinstance(text, str) or not text.startswith(_PREFIX) or len(text) > MAX_FRAME:
        raise ImageError("a frame of the webcam is missing: start it again")
    try:
        return load_image(base64.b64decode(text[len(_PREFIX) :], validate=True))
    except binascii.Error as error:
        raise ImageError("a frame of the webcam is damaged: start it again") from error


def step(
    visit: Visit, image: Image.Image, attributes: list[str], relative: bool, size: int
) -> tuple[str, str]:
    """The face of the visit, moved like that of a frame: a marked picture in an address, and what it took.

    Raises:
        CodesError: for attributes that do not move.
    """
    began = time.monotonic()
    chosen = moving_attributes(attributes)
    face = visit.face(which="your photo").face
    now = visit.kept.setdefault(LIVE, Following())
    now.face, found = _look(visit.sep, image, now.face)
    if found is not None:
        now.codes = found if now.codes is None else now.codes.interpolate(found, SHARE)
        now.first = found if now.first is None else now.first
    if now.codes is not None:
        moved = {name: getattr(now.codes, name) for name in chosen}
        if relative:
            own = actions.codes_of(face)
            moved = {
                name: getattr(own, name) + code - getattr(now.first, name) for name, code in moved.items()
            }
        face = face.replace(**moved)
    data = actions.preview(visit.sep, face, visit.look, size)
    ended = time.monotonic()
    rate, now.since, now.count = 1 / max(ended - now.since, 1e-3), ended, now.count + 1
    now.rate = rate if now.count < 3 else 0.8 * now.rate + 0.2 * rate
    said = f"{now.rate:.1f} frames a second, {1000 * (ended - began):.0f} ms for this one"
    said += "" if found is not None else "; no face is seen"
    return f"{picture(data)}#{now.count}", said


_JS = """
const camera = document.createElement("video"), canvas = document.createElement("canvas");
camera.muted = camera.playsInline = true;
camera.className = "camera";
let stream = null, sent = 0, timer = 0, waiting = false;
function next() {
    clearTimeout(timer);
    if (!stream) return;
    const scale = 320 / Math.max(camera.videoWidth, camera.videoHeight, 1);
    canvas.width = Math.round(camera.videoWidth * scale);
    canvas.height = Math.round(camera.videoHeight * scale);
    canvas.getContext("2d").drawImage(camera, 0, 0, canvas.width, canvas.height);
    window.facesepFrame = canvas.toDataURL("image/jpeg", 0.85);
    sent = performance.now();
    timer = setTimeout(next, 5000);
    waiting = true;
    trigger("frame");
}
function release() {
    clearTimeout(timer);
    if (stream) stream.getTracks().forEach(track => track.stop());
    stream = null;
    window.facesepFrame = "";
    camera.remove();
}
// An empty frame ends it, after the answer to the last one: gradio may mix up answers on their way together.
function stop() {
    release();
    timer = setTimeout(() => trigger("frame"), waiting ? 5000 : 0);
}
async function start() {
    release();
    try {
        stream = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480}, audio: false});
    } catch (error) {
        window.alert("The webcam cannot be used: " + error.message);
        return;
    }
    camera.srcObject = stream;
    element.before(camera);
    await camera.play();
    next();
}
window.facesepLive = {start, stop};
watch("value", () => {
    waiting = false;
    if (!stream) {
        if (props.value) stop();
        return;
    }
    element.dataset.latency = Math.round(performance.now() - sent);
    requestAnimationFrame(next);
});
"""
FRAME = "(frame, ...others) => [window.facesepFrame || '', ...others]"
"""Puts the newest frame in place of the first input of an event."""


def stage() -> gr.HTML:
    """The place of the live picture; its event is ``frame``."""
    return gr.HTML(
        html_template='${value ? `<img alt="The moving face" src="${value}">` : ""}',
        js_on_load=_JS,
        elem_id="live",
        elem_classes="stage",
    )
