"""Finding the two noun phrases, on sentences written for developing the rules."""

from __future__ import annotations

import ast
import inspect

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from robo_rlft.language import chunks, function_words, phrases
from robo_rlft.language.instruction import InstructionError
from robo_rlft.language.phrases import Phrases, find_phrases

RED_BLOCK_IN_BLUE_BOWL = (
    "put the red block in the blue bowl",
    "Put the red block into the blue bowl.",
    "PUT THE RED BLOCK IN THE BLUE BOWL!",
    "please could you put the red block in the blue bowl?",
    "could you please put the red block inside the blue bowl, thanks",
    "red block in blue bowl",
    "red block -> blue bowl",
    "put red block in blue bowl",
    "move red block to blue bowl please",
    "I want the red block in the blue bowl",
    "I need the red block placed in the blue bowl",
    "I'd like you to put the red block in the blue bowl",
    "make sure the blue bowl ends up holding the red block",
    "make sure the red block ends up in the blue bowl",
    "use the blue bowl for the red block",
    "the blue bowl should contain the red block",
    "the blue bowl should hold the red block",
    "the blue bowl should receive the red block",
    "the blue bowl should get the red block",
    "the blue bowl gets the red block",
    "drop the red block so it lands in the blue bowl",
    "let the red block rest inside the blue bowl",
    "put the block that is red in the bowl that is blue",
    "put the block coloured red in the bowl which is blue",
    "all the red blocks belong in the blue bowl",
    "put all of the red blocks into the blue bowl",
    "put the red blocks in the blue bowl",
    "take the red block from the table and put it in the blue bowl",
    "take the blue bowl and put the red block in it",
    "in the blue bowl, please put the red block",
    "into the blue bowl goes the red block",
    "the blue bowl, put the red block in it",
    "give the blue bowl the red block",
    "with the gripper, put the red block in the blue bowl",
    "pick the red block up and put it down in the blue bowl",
    "the red block goes in the blue bowl",
    "the red block must go into the blue bowl",
    "the red block has to be in the blue bowl",
    "the red block is to be held by the blue bowl",
    "the red block that is next to the green plate goes in the blue bowl",
    "put the red block next to the green plate in the blue bowl",
    "put the red block in the blue bowl on the left",
    "put the red block on the left into the blue bowl",
    "put the red block in the blue bowl next to the green ring",
    "put the red block in the middle of the blue bowl",
    "hey robot, grab the red block and chuck it in the blue bowl",
    "robot, can you see the blue bowl? put the red block in there",
    "um, the red block, can it go in the blue bowl?",
    "do me a favor and put the red block in the blue bowl",
    "would you mind putting the red block in the blue bowl",
    "I think the red block wants to live in the blue bowl",
    "transfer one red block to the blue bowl",
    "execute a transfer of the red block to the blue bowl",
    "target: the blue bowl. object: the red block",
    "load the blue bowl with the red block",
    "the blue bowl is for the red block",
    "the home of the red block is the blue bowl",
    "the blue bowl is where the red block should go",
    "where should the red block go? in the blue bowl",
    "the red block is supposed to be in the blue bowl",
    "can I have the red block in the blue bowl",
    "have the red block sit in the blue bowl",
    "the bowl that's blue needs the block that's red",
    "the blue bowl needs the red block",
    "that red block belongs in that blue bowl",
    "find a spot for the red block in the blue bowl",
    "put the red block, not the green one, in the blue bowl",
    "instead of the green block put the red block in the blue bowl",
    "the bowl, the blue one, should hold the red block",
    "put the red-coloured block into the blue-coloured bowl",
    "the task is to place the red block into the blue bowl",
    "I would love for the red block to be in the blue bowl",
    "there should be a red block in the blue bowl",
    "help the red block get into the blue bowl",
    "the blue bowl is empty, put the red block in it",
    "the red block is on the table; bring it to the blue bowl",
    "if you see a red block, put it in the blue bowl",
    "red blocks into blue bowl",
    "blue bowl, red block inside",
    "pick red block, place in blue bowl",
    "pick: red block, place: blue bowl",
    "pick up red block then release over blue bowl",
    "get red block to blue bowl",
    "relocate the red block to the blue bowl",
    "insert red block into blue bowl",
    "i want that red block to go in that blue bowl",
    "the red block goes night night in the blue bowl",
    "pretty please put the red block in the blue bowl",
    "mister robot, feed the red block to the blue bowl",
    "feed the blue bowl a red block",
    "I was wondering if you could perhaps move the red block into the blue bowl for me",
    "hey, so, you see that red block? yeah, stick it in the blue bowl",
    "okay now grab the red block, lift it and lower it into the blue bowl",
    "it would be great if the red block ended up in the blue bowl",
    "it'd be nice to have the red block in the blue bowl",
    "why don't you put the red block in the blue bowl",
    "would you be so kind as to drop the red block into the blue bowl",
    "how about putting the red block in the blue bowl",
    "let's get the red block into the blue bowl",
    "my grandmother wants the red block in the blue bowl",
    "we need the blue bowl to contain the red block",
    "we need the red block to be inside the blue bowl",
    "the blue bowl ought to have the red block in it",
    "ensure that the blue bowl contains the red block",
    "verify the red block is in the blue bowl",
    "the red block should be picked up and placed in the blue bowl",
    "the red block should be moved from the table to the blue bowl",
    "with the red block in hand, go to the blue bowl and release",
    "after grasping the red block, deposit it in the blue bowl",
    "before you rest, put the red block in the blue bowl",
    "when you have a moment, put the red block in the blue bowl",
    "the blue bowl is waiting for the red block",
    "the blue bowl is missing the red block",
    "the blue bowl wants the red block",
    "swap the red block into the blue bowl",
    "slide the red block gently into the blue bowl",
    "carefully, and without touching the green ring, put the red block in the blue bowl",
    "do not touch the green block; put the red block in the blue bowl",
    "put the red block, and only the red block, in the blue bowl",
    "put only the red block in the blue bowl",
    "the red block fits in the blue bowl",
    "red block belongs in blue bowl",
    "blue bowl should hold red block",
    "fill blue bowl with red block",
    "fill up the blue bowl with all the red blocks",
    "the blue bowl should be filled with red blocks",
    "cover the blue bowl with the red block",
    "place a red block within any blue bowl",
    "take the red block that is on the green plate and drop it in the blue bowl",
    "put the red block which lies beside the yellow ring into the blue bowl",
    "move the red block from the green plate to the blue bowl",
    "take the red block off the green plate and put it in the blue bowl",
    "take the red block out of the green plate, into the blue bowl with it",
    "the red block near the ring should go in the blue bowl",
    "put the red block in the blue bowl in the corner",
    "put the red block on the table in the blue bowl",
    "the object to pick is the red block and the target is the blue bowl",
    "the place for the red block is the blue bowl",
    "the blue bowl is the right place for the red block",
    "let the blue bowl swallow the red block",
    "let the red block fall into the blue bowl",
    "have the blue bowl take the red block",
    "make the red block disappear into the blue bowl",
    "make the blue bowl carry the red block",
    "see that the red block gets put into the blue bowl",
    "get me the red block in the blue bowl",
    "I'd prefer the red block sitting in the blue bowl",
    "i would like the red block dropped into the blue bowl please",
    "what the blue bowl needs is the red block",
    "the blue bowl is what the red block goes into",
    "the blue bowl is the one that should hold the red block",
    "the red block enters the blue bowl",
    "the red block joins the blue bowl",
    "could the red block go in the blue bowl?",
    "is it possible to put the red block in the blue bowl?",
    "stash the red block there, in the blue bowl",
    "over in the blue bowl, set the red block",
    "there's a red block on the table, drop it into the blue bowl",
    "there is a blue bowl; the red block goes in it",
    "use your arm to carry the red block over into the blue bowl",
    "using the suction gripper, put the red block in the blue bowl",
    "a red block in a blue bowl, please",
    "could the blue bowl please hold the red block",
    "I believe the red block ought to sit within the blue bowl",
    "see the blue bowl over there? it needs the red block",
    "leave the red block in the blue bowl, would you",
    "just the red block into the blue bowl",
    "red block: blue bowl",
    "red block, blue bowl",
    "red block goes to blue bowl",
    "the blue bowl must not stay empty, so drop the red block in",
    "set down the red block inside of the blue bowl",
    "empty your gripper of the red block above the blue bowl",
    "guide the red block until it rests in the blue bowl",
    "the destination of the red block: the blue bowl",
    "what I want is the red block in the blue bowl",
    "pick and place the red block into the blue bowl",
    "task 4: move the red block to the blue bowl",
    "go get the red block and bring it over to the blue bowl",
    "it's the red block that belongs in the blue bowl",
    "the thing I want in the blue bowl is the red block",
    "in goes the red block, into the blue bowl",
    "pour the red blocks in the blue bowl",
    "get the blue bowl to hold the red block",
    "add the red block to what is in the blue bowl",
    "take hold of the red block, carry it across, and let it go in the blue bowl",
    "get hold of the red block and set it in the blue bowl",
    "there, in the blue bowl, is where I want the red block",
    "the blue bowl, fill it with the red block",
    "the red block? into the blue bowl!",
    "have the red block end its journey in the blue bowl",
    "show me the red block inside the blue bowl",
    "arrange for the red block to be inside the blue bowl",
    "tuck the red block away in the blue bowl",
    "with care, lower the red block into the blue bowl",
)
"""Terse, chatty, small, polite and technical speakers, all after the same thing."""

OTHERS = (
    ("put the red one in the blue bowl", "red one", "blue bowl"),
    ("put the zorgle block in the fuchsia tub", "zorgle block", "fuchsia tub"),
    ("pack the scissors in the brown box", "scissors", "brown box"),
    ("put the glass on the tray", "glass", "tray"),
    ("the little red block wants to sleep in the blue bowl", "little red block", "blue bowl"),
    ("move the red cube over to the blue dish", "red cube", "blue dish"),
    ("stack the red block on top of the green block", "red block", "green block"),
    ("set the cup of tea on the saucer", "cup of tea", "saucer"),
    ("place the small striped mug onto the wooden shelf", "small striped mug", "wooden shelf"),
    ("toss the teddy bear in the toy chest", "teddy bear", "toy chest"),
    ("put the tin can in the recycling bin", "tin can", "recycling bin"),
    ("put the dishes in the sink", "dish", "sink"),
    ("put both boxes on the pallet", "box", "pallet"),
    ("put the batteries in the drawer", "battery", "drawer"),
    ("nestle the green puck inside the white dish", "green puck", "white dish"),
    ("the grey brick goes right into the yellow basin", "grey brick", "yellow basin"),
    ("hand the yellow dish the cyan cube", "cyan cube", "yellow dish"),
    ("the brown bowl is to be filled with the yellow block", "yellow block", "brown bowl"),
    ("plop the green cube down in the brown bowl", "green cube", "brown bowl"),
    ("red block in bowl cyan", "red block", "bowl cyan"),
)


@pytest.mark.parametrize("sentence", RED_BLOCK_IN_BLUE_BOWL)
def test_however_it_is_said_the_red_block_belongs_in_the_blue_bowl(sentence: str) -> None:
    assert find_phrases(sentence) == Phrases(pick="red block", place="blue bowl")


@pytest.mark.parametrize(("sentence", "pick", "place"), OTHERS)
def test_phrases_keep_their_words_and_lose_determiner_and_plural(sentence: str, pick: str, place: str) -> None:
    assert find_phrases(sentence) == Phrases(pick=pick, place=place)


def test_a_noun_named_again_without_its_colour_is_what_was_named_before() -> None:
    found = find_phrases("find the red block and the blue bowl, then put the block in the bowl")
    assert found == Phrases(pick="red block", place="blue bowl")


@pytest.mark.parametrize(
    ("sentence", "lack"),
    [
        ("pick up the red block", "no words for where to put it"),
        ("take the red block from the green plate", "no words for where to put it"),
        ("put it in the blue bowl", "no words for what to pick"),
        ("put something in the blue bowl", "no words for what to pick"),
        ("put it there", "neither what to pick nor where to put it"),
        ("please", "neither what to pick nor where to put it"),
        ("put the red block on the left", "no words for where to put it"),
    ],
)
def test_a_sentence_without_two_noun_phrases_is_refused_saying_which_is_missing(sentence: str, lack: str) -> None:
    with pytest.raises(InstructionError, match=lack) as caught:
        find_phrases(sentence)
    assert "'put the red block in the blue bowl'" in str(caught.value)
    assert sentence in str(caught.value)


def test_the_refusal_repeats_the_noun_phrase_that_was_found() -> None:
    with pytest.raises(InstructionError, match=r"\(only 'crimson cube'\)"):
        find_phrases("lift the crimson cube")


@pytest.mark.parametrize("sentence", ["", "put the red block <end_of_text> in the blue bowl", "a" * 201])
def test_what_is_no_instruction_is_refused_before_it_is_read(sentence: str) -> None:
    with pytest.raises(InstructionError, match="expected"):
        find_phrases(sentence)


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("blocks", "block"),
        ("boxes", "box"),
        ("dishes", "dish"),
        ("glasses", "glasses"),
        ("glass", "glass"),
        ("berries", "berry"),
        ("plates", "plate"),
        ("knives", "knife"),
        ("potatoes", "potato"),
        ("bus", "bus"),
        ("scissors", "scissors"),
    ],
)
def test_nouns_come_back_in_the_singular(plural: str, singular: str) -> None:
    assert function_words.singular(plural) == singular


WORDS = st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=10)


def is_unknown(word: str) -> bool:
    """Tell whether a made-up word is none that the grammar knows, and cannot be a plural or an adverb."""
    known = function_words.is_closed(word) or function_words.lemma(word) in function_words.LISTED_VERBS
    known = known or function_words.singular(word) != word
    return not known and word not in COLOR_TALK | function_words.LOCATIONS and not word.endswith(("s", "ly"))


COLOR_TALK = {"painted", "colored", "coloured", "color", "colour"}


@given(WORDS, WORDS, WORDS, WORDS)
def test_words_never_seen_are_kept_as_they_are(adjective: str, noun: str, color: str, container: str) -> None:
    assume(all(is_unknown(word) for word in (adjective, noun, color, container)))
    assume(noun != container)
    found = find_phrases(f"put the {adjective} {noun} in the {color} {container}")
    assert found == Phrases(pick=f"{adjective} {noun}", place=f"{color} {container}")
    found = find_phrases(f"Put the {noun} in the {container}.")
    assert found == Phrases(pick=noun, place=container)


CLOSED = sorted(
    {
        *function_words.DETERMINERS,
        *function_words.PREPOSITIONS,
        *function_words.PRONOUNS,
        *function_words.AUXILIARIES,
        *function_words.CONJUNCTIONS,
        *function_words.LISTED_VERBS,
        *function_words.LOCATIONS,
        *("where", "that's", "zorgle", "blocks", "one", "colour", "coloured", ",", "?", "not"),
    }
)


def outcome(text: str) -> str:
    """Return the phrases found, or the refusal's message; any other error goes through."""
    try:
        found = find_phrases(text)
    except InstructionError as error:
        return str(error)
    return f"expected phrases: {found.pick!r}, {found.place!r}"


@given(st.lists(st.sampled_from(CLOSED), min_size=1, max_size=14))
def test_any_string_of_words_is_read_or_refused_with_a_reason(words: list[str]) -> None:
    assert outcome(" ".join(words)).startswith("expected ")
    assert "''" not in outcome(" ".join(words))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    assert outcome(text).startswith("expected ")


@pytest.mark.parametrize(
    ("sentence", "pick", "place"),
    [
        ("yeet red block into blue bowl", "yeet red block", "blue bowl"),  # an unlisted verb, no determiner after it
        ("the blue bowl is the red block's new home", "blue bowl", "red block new home"),
        ("the blue bowl should be home to the red block", "blue bowl", "red block"),
        ("the bowl the red block goes into is the blue one", "red block", "bowl"),
        ("the red block. its new home is the blue bowl", "red block", "new home"),
    ],
)
def test_known_limits_rules_without_a_dictionary_misread_these(sentence: str, pick: str, place: str) -> None:
    """All mean: the red block into the blue bowl."""
    assert find_phrases(sentence) == Phrases(pick=pick, place=place)


def test_known_limits_a_place_that_only_a_clause_about_the_past_names_is_refused() -> None:
    with pytest.raises(InstructionError, match="found no words for where to put it"):
        find_phrases("the red block has been left out of the blue bowl, please put it back in")


def test_the_grammar_imports_no_words_of_the_tasks() -> None:
    for module in (phrases, chunks, function_words):
        tree = ast.parse(inspect.getsource(module))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {name for name in imported if name and name.endswith(("vocabulary", "templates", "paraphrases"))}


def test_the_grammar_knows_no_colour_and_no_object() -> None:
    names = {"red", "blue", "green", "yellow", "block", "bowl", "puck", "plate", "ring", "cube", "dish"}
    assert not {name for name in names if function_words.is_closed(name) or name in function_words.LISTED_VERBS}
