"""The command ``minidl``: what it prints, in words and as JSON, and how it ends."""

import json

import numpy as np
import pytest
from tiny_data import CLASSES, tiny_cifar10

import minidl
from minidl.cli import main
from minidl.cli.main import COMMANDS, parser
from minidl.recipes import RECIPES, classifier_of, load_model

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a tiny CIFAR-10."""
    return tiny_cifar10(tmp_path_factory.mktemp("data"), per_file=20)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of a fresh network."""
    minidl.manual_seed(0)
    recipe = RECIPES["fast"]
    path = tmp_path_factory.mktemp("model") / "fresh.safetensors"
    classifier_of(recipe, recipe.model(), CLASSES).save(path)
    return path


def run(capsys, *words):
    """The exit code, and what was printed as an answer and beside it."""
    code = main(list(map(str, words)))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def answer(capsys, *words):
    """What a command prints with ``--json``."""
    code, out, err = run(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_train_writes_a_model_that_evaluates_as_it_says(capsys, data, tmp_path):
    out = tmp_path / "model.safetensors"
    options = ["--recipe", "fast", "--data", data, "--epochs", 1, "--batch-size", 20, "--out", out]
    trained = answer(capsys, "train", *options)
    assert trained["train_pictures"] == 100
    found = answer(capsys, "evaluate", out, "--data", data)
    assert found["test_accuracy"] == trained["test_accuracy"]
    assert found["test_pictures"] == 20
    assert list(found["class_accuracy"]) == CLASSES


def test_train_can_go_on(capsys, data, tmp_path):
    options = ["--data", data, "--limit-train", 20, "--limit-test", 4, "--epochs", 1]
    options += ["--checkpoint", tmp_path, "--out", tmp_path / "model.safetensors"]
    first = answer(capsys, "train", *options)
    code, out, _ = run(capsys, "train", *options, "--resume")
    assert code == 0 and "resumed from" in out
    assert f"{first['test_accuracy']:.2%}" in out


def test_predict_shows_the_likeliest_classes(capsys, model, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (50, 40, 3)).astype(np.uint8)
    for name, mode in (("a.png", "RGB"), ("b.png", "L")):
        Image.fromarray(pixels).convert(mode).save(tmp_path / name)
    pictures = tmp_path / "a.png", tmp_path / "b.png"
    predictions = answer(capsys, "predict", model, *pictures, "--top", 10)["predictions"]
    network = load_model(model)
    shown = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
    expected = network.probabilities(network.prepare(shown).unsqueeze(0))[0]
    shares = predictions[0]["classes"]
    assert shares == pytest.approx(dict(zip(CLASSES, expected.tolist())), rel=1e-4)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(predictions[1]["classes"].values()) == pytest.approx(1)
    _, out, _ = run(capsys, "predict", model, pictures[0], "--top", 2)
    first = next(iter(shares))
    assert out.startswith(f"{pictures[0]}: {first} {shares[first]:.1%}, ")


def test_info_is_the_models_card(capsys, model):
    facts = answer(capsys, "info", model)
    assert facts["parameters"] == sum(p.numel() for p in load_model(model).network.parameters())
    assert facts["bytes"] == model.stat().st_size
    assert facts["classes"] == CLASSES
    assert facts["mean"] == pytest.approx([0.4914, 0.4822, 0.4465])
    assert facts["tensors"]["0.weight"] == ["float32", [24, 3, 3, 3]]
    _, out, _ = run(capsys, "info", model)
    assert "recipe       fast" in out


def test_bench_measures_each_batch(capsys, model, monkeypatch):
    monkeypatch.setattr("minidl.cli.bench._SECONDS", 0.02)
    facts = answer(capsys, "bench", model, "--batch", 1, 3)
    row = facts["latency_ms"]["3"]
    assert 0 < row["median"] <= row["p95"]
    assert row["pictures_per_second"] == pytest.approx(3000 / row["median"])
    assert list(facts["latency_ms"]) == ["1", "3"]


def test_every_command_shows_examples():
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        assert f"\n  minidl {name} " in module.__doc__
        for line in module.__doc__.splitlines():
            if line.startswith("  minidl "):
                parser().parse_args(line.split()[1:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "nothere"], "nothere: No such file"),
        (["info", "{folder}/text"], "text is no"),
        (["info", "{folder}/other"], "other holds no model that `minidl train` has saved"),
        (["predict", "{model}", "{folder}/text"], "text cannot be read as a picture"),
        (["evaluate", "{model}", "--data", "{folder}"], "there is no CIFAR-10"),
        (["train", "--out", "x", "--data", "{data}", "--limit-train", "999"], "a limit of 999"),
    ],
)
def test_what_cannot_be_done_says_why(capsys, data, model, tmp_path, words, message):
    (tmp_path / "text").write_text("not what it should be")
    minidl.save({"network": 1}, tmp_path / "other")
    places = {"folder": tmp_path, "model": model, "data": data}
    code, out, err = run(capsys, *(word.format(**places) for word in words))
    assert (code, out) == (1, "")
    assert err.startswith("minidl: ") and message in err
    assert "Traceback" not in err


def test_another_networks_classes_are_refused(capsys, data, tmp_path):
    recipe = RECIPES["article"]
    classifier_of(recipe, recipe.model(), ["x"] * 10).save(tmp_path / "model")
    code, _, err = run(capsys, "evaluate", tmp_path / "model", "--data", data)
    assert code == 1 and "has other classes" in err


@pytest.mark.parametrize(
    "words",
    [[], ["fly"], ["train"], ["train", "--out", "x", "--epochs", "0"], ["predict", "model"]],
)
def test_wrong_usage(capsys, words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: minidl" in capsys.readouterr().err


def test_resume_needs_a_checkpoint(capsys):
    code, _, err = run(capsys, "train", "--out", "x", "--resume")
    assert code == 2 and "--resume needs --checkpoint" in err


def test_ctrl_c(capsys, monkeypatch, model):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("minidl.cli.info.load_model", interrupted)
    assert run(capsys, "info", model)[0] == 130


def test_a_model_of_no_recipe_is_not_saved(tmp_path):
    model = classifier_of(RECIPES["article"], minidl.nn.Linear(2, 2), CLASSES)
    model.recipe = ""
    with pytest.raises(ValueError, match="export this one to ONNX"):
        model.save(tmp_path / "x")


def test_weights_that_do_not_fit(capsys, model, tmp_path):
    content = minidl.load(model)
    content["network"].popitem()
    minidl.save(content, tmp_path / "model")
    code, _, err = run(capsys, "info", tmp_path / "model")
    assert code == 1 and "minidl: " in err


def test_export_and_all_that_takes_a_model_takes_its_file(capsys, data, model, tmp_path):
    path = tmp_path / "model.onnx"
    facts = answer(capsys, "export", model, path)
    assert facts["bytes"] == path.stat().st_size
    ours, theirs = load_model(model), load_model(path)
    assert theirs.classes == CLASSES and theirs.mean == ours.mean and theirs.std == ours.std
    pictures = minidl.randn(3, 3, 32, 32)
    np.testing.assert_array_equal(ours.probabilities(pictures), theirs.probabilities(pictures))
    assert answer(capsys, "info", path)["parameters"] == answer(capsys, "info", model)["parameters"]
    same = [answer(capsys, "evaluate", each, "--data", data) for each in (model, path)]
    assert same[0] == same[1]


def test_compress(capsys, data, model, tmp_path):
    path, picture = tmp_path / "small.onnx", tmp_path / "steps.png"
    options = ["--multiply-adds", 0.5, "--weights", 0.2, "--integers", "trained"]
    facts = answer(capsys, "compress", model, path, *options, "--data", data, "--report", picture)
    steps = facts["steps"]
    names = ["original", "channels removed", "weights pruned", "integers, trained"]
    assert [step["step"] for step in steps] == names
    assert steps[1]["multiply_adds"] <= 0.5 * steps[0]["multiply_adds"]
    assert steps[2]["nonzero"] < 0.25 * steps[1]["nonzero"]
    assert steps[3]["bytes"] < 0.4 * steps[2]["bytes"] and steps[3]["nonzero"] < steps[2]["nonzero"]
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 500
    found = answer(capsys, "evaluate", path, "--data", data)
    assert found["test_accuracy"] == pytest.approx(steps[3]["accuracy"])


def test_compress_says_what_is_wrong(capsys, data, model, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        main(["compress", str(model), "out.onnx", "--weights", "1.5"])
    assert "above 0 and up to 1" in capsys.readouterr().err
    code, _, err = run(capsys, "compress", model, tmp_path / "no" / "x.onnx", "--data", data)
    assert code == 1 and "No such file" in err


def test_files_that_are_no_onnx_models(capsys, tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"nothing of the kind")
    code, _, err = run(capsys, "info", path)
    assert code == 1 and "broken.onnx" in err and "Traceback" not in err
