"""Training an encoder, its figures, and new words."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
import torch
from lightning import Trainer

from robo_rlft.algorithms.clip import ClipPretraining, sample_features
from robo_rlft.algorithms.clip_figures import fit_presence, measure, presence_of
from robo_rlft.algorithms.clip_words import WordPair, WordsError, read_words, teach_words
from robo_rlft.data.caption_batches import CaptionData
from robo_rlft.data.captions import BACKGROUND, CLASSES
from robo_rlft.data.context import TrainContext
from robo_rlft.data.renders import render_scenes
from robo_rlft.geometry import Workspace
from robo_rlft.language.vocabulary import SYNONYMS
from robo_rlft.models.clip import ClipEncoder


def _train(folder: Path, steps: int) -> ClipPretraining:
    torch.manual_seed(0)
    module = ClipPretraining(encoder=ClipEncoder(pretrained=None), max_steps=steps, warmup_steps=2)
    context = TrainContext(
        policy=None,  # type: ignore[arg-type]  # pretraining has none
        workspace=Workspace(),
        make_env=None,
        data_dir=None,
        run_dir=folder,
        seed=0,
        workers=0,
    )
    data = CaptionData(context=context, scenes=6, val_scenes=3, batch_size=2, steps_per_epoch=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
    assert trainer.global_step == steps
    return module


def test_training_changes_the_encoder_and_leaves_it_frozen_calibrated_and_savable(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = ClipEncoder(pretrained=None).state_dict()
    module = _train(tmp_path, 6)
    after = module.encoder.state_dict()
    assert module.encoder.frozen
    assert not torch.equal(after["model.visual.conv1.weight"], before["model.visual.conv1.weight"])
    assert not torch.equal(after["model.token_embedding.weight"], before["model.token_embedding.weight"])
    assert not torch.equal(after["model.visual.bn1.running_mean"], before["model.visual.bn1.running_mean"])
    assert after["presence_scale"] != 0
    assert module.figures is not None
    module.encoder.save(tmp_path / "encoder.safetensors", metadata={"figures": module.figures.as_dict()})
    read = ClipEncoder(pretrained=str(tmp_path / "encoder.safetensors"))
    assert read.metadata["figures"].keys() >= {"hit", "accuracy"}
    assert "scarlet" in read.metadata["vocabulary"]


def test_the_same_seed_trains_the_same_encoder(tmp_path: Path) -> None:
    first, again = (_train(tmp_path, 3).encoder.sha256 for _ in range(2))
    assert first == again


def test_features_at_points_are_those_of_the_upsampled_map() -> None:
    features = torch.randn(1, 2, 5, 3, generator=torch.Generator().manual_seed(0))
    picture = torch.zeros(1, 3, 20, 12)
    full = torch.nn.functional.interpolate(features, size=(20, 12), mode="bilinear", align_corners=False)
    points = torch.tensor([[[0.0, 0.0], [7.0, 3.0], [19.0, 11.0]]])
    expected = torch.stack([full[0, :, int(r), int(c)] for r, c in points[0]])
    torch.testing.assert_close(sample_features(features, points, picture), expected, atol=1e-6, rtol=1e-5)


def _labels() -> torch.Tensor:
    """Two scenes of 4 x 4 pixels: class 0 at the top left of the first, class 1 at the bottom right of the second."""
    label = torch.full((2, 4, 4), BACKGROUND, dtype=torch.uint8)
    label[0, :2, :2] = 0
    label[1, 2:, 2:] = 1
    return label


def test_figures_of_perfect_maps_are_one_and_of_swapped_maps_zero() -> None:
    perfect = torch.zeros(2, len(CLASSES), 2, 2)
    perfect[0, 0, 0, 0] = perfect[1, 1, 1, 1] = 1.0
    figures = measure(perfect, perfect, _labels())
    assert figures.hit == figures.accuracy == figures.presence_auc == figures.hit_synonyms == 1.0
    swapped = perfect.flip(dims=(2, 3))
    assert measure(swapped, perfect, _labels()).hit == 0.0


def test_presence_is_half_way_between_present_and_absent_cosines() -> None:
    # Present phrases reach 0.8, absent ones 0.2, all alike: by symmetry the curve crosses one half at 0.5.
    maps = torch.full((2, len(CLASSES), 2, 2), 0.2)
    maps[0, 0], maps[1, 1] = 0.8, 0.8
    scale, bias = fit_presence(maps, _labels())
    assert scale > 5
    assert -bias / scale == pytest.approx(0.5, abs=0.01)
    assert math.isfinite(scale)


@pytest.fixture
def encoder() -> ClipEncoder:
    torch.manual_seed(0)
    return ClipEncoder(pretrained=None)


@pytest.mark.weights
def test_a_taught_word_means_what_the_known_phrase_means() -> None:
    encoder = ClipEncoder()
    pairs = [WordPair(word="vermilion", known="red"), WordPair(word="canister", known="blue block")]
    assert encoder.unknown_words("vermilion canister") == ("vermilion", "canister")
    taught = teach_words(encoder, pairs)
    assert all(word.cosine_before < 0.9 < 0.99 < word.cosine_after for word in taught)
    assert encoder.unknown_words("vermilion canister") == ()
    new, old, other = encoder.text(["vermilion bowl", "red bowl", "blue bowl"])
    assert new @ old > 0.98
    assert new @ other < 0.8
    assert encoder.frozen


@pytest.mark.weights
def test_the_shipped_encoder_finds_what_is_named_in_scenes_that_it_never_saw() -> None:
    scenes = render_scenes(seed=0, phase="val", first=1000, count=20, workspace=Workspace())
    encoder, label = ClipEncoder(), torch.from_numpy(scenes.label)
    maps = [
        torch.einsum("bdhw,kd->bkhw", encoder.dense(torch.from_numpy(scenes.color).permute(0, 3, 1, 2)), texts)
        for texts in (
            encoder.text([f"{color} {shape}" for color, shape in CLASSES]),
            encoder.text([f"{SYNONYMS[color][0]} {SYNONYMS[shape][0]}" for color, shape in CLASSES]),
        )
    ]
    figures = measure(maps[0], maps[1], label)
    assert figures.color_accuracy > 0.95
    assert min(figures.hit_seen, figures.hit_unseen, figures.hit_synonyms) > 0.85
    assert encoder.presence(maps[0].amax(dim=(2, 3)))[presence_of(label)].mean() > 0.85


def test_teaching_leaves_every_other_phrase_bit_equal(encoder: ClipEncoder) -> None:
    phrases = ["red block", "a navy saucer", "unheard gadget"]
    before = encoder.text(phrases)
    teach_words(encoder, [WordPair(word="vermilion", known="red")], steps=5)
    assert torch.equal(encoder.text(phrases), before)


def test_a_taught_encoder_is_saved_with_its_new_words(encoder: ClipEncoder, tmp_path: Path) -> None:
    teach_words(encoder, [WordPair(word="vermilion", known="red")], steps=5)
    encoder.save(tmp_path / "e.safetensors", metadata={})
    read = ClipEncoder(pretrained=str(tmp_path / "e.safetensors"))
    assert read.unknown_words("vermilion") == ()
    assert read.metadata["taught"] == {"vermilion": "red"}


def test_a_file_of_words_is_read(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# colours\n\nVermilion = red\npuce=purple\n")
    assert [(p.word, p.known) for p in read_words(path)] == [("vermilion", "red"), ("puce", "purple")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vermilion = red\npuce purple\n", "line 2 of words.txt: expected 'new word = known phrase'"),
        ("vermilion =\n", "line 1 of words.txt"),
        ("# nothing\n", "found none"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(text)
    with pytest.raises(WordsError, match=message):
        read_words(path)


@pytest.mark.parametrize(
    ("word", "known", "message"),
    [
        ("vermilion", "reddish", "line 4: .* does not know reddish"),
        ("scarlet", "red", "line 4: .*'scarlet' is known already"),
        ("<end_of_text>", "red", "line 4: .*control token"),
    ],
)
def test_a_pair_that_cannot_be_taught_is_refused(encoder: ClipEncoder, word: str, known: str, message: str) -> None:
    with pytest.raises(WordsError, match=message):
        teach_words(encoder, [WordPair(word=word, known=known, where="line 4")], steps=1)
