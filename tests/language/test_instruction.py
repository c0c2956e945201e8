"""What may be an instruction, and what the refusals say."""

from __future__ import annotations

import pytest

from robo_rlft.language.instruction import MAX_CHARACTERS, InstructionError, check_instruction


def test_a_sentence_comes_back_without_outer_white_space() -> None:
    assert check_instruction("  put the red block in the blue bowl\n") == "put the red block in the blue bowl"


@pytest.mark.parametrize("value", [None, 3, b"put the red block in the blue bowl", ["put"], float("nan")])
def test_what_is_no_string_is_refused_by_its_type(value: object) -> None:
    with pytest.raises(InstructionError, match=rf"got {type(value).__name__}\. Write a sentence such as"):
        check_instruction(value)


@pytest.mark.parametrize("text", ["", " ", "\t\n", "?!", "..."])
def test_a_sentence_without_words_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InstructionError, match="no words. Write a sentence such as 'put the red block"):
        check_instruction(text)


def test_the_limit_of_length_is_inclusive() -> None:
    assert check_instruction("a" * MAX_CHARACTERS) == "a" * MAX_CHARACTERS
    with pytest.raises(InstructionError, match=f"at most {MAX_CHARACTERS} characters; got {MAX_CHARACTERS + 1}"):
        check_instruction("a" * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize(
    "token", ["<end_of_text>", "<start_of_text>", "<END_OF_TEXT>", "<|endoftext|>", "<|im_start|>"]
)
def test_control_tokens_of_text_encoders_are_refused_by_name(token: str) -> None:
    with pytest.raises(InstructionError, match="control token") as caught:
        check_instruction(f"put the red block {token} in the blue bowl")
    assert token in str(caught.value)


@pytest.mark.parametrize(
    ("character", "code"), [("\x00", "0000"), ("\n", "000A"), ("\x1b", "001B"), ("\u202e", "202E")]
)
def test_control_characters_are_refused_by_code(character: str, code: str) -> None:
    with pytest.raises(InstructionError, match=rf"control character U\+{code} .* Replace it by a space"):
        check_instruction(f"put the red{character}block in the blue bowl")


def test_the_message_never_repeats_a_control_character() -> None:
    with pytest.raises(InstructionError) as caught:
        check_instruction("red\x1b[31m block")
    assert "\x1b" not in str(caught.value)


def test_letters_beyond_ascii_are_fine() -> None:
    assert check_instruction("put the café mug in the größte bowl") == "put the café mug in the größte bowl"
