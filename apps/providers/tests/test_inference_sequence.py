from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apps.providers.engine.inference.errors import ApiError
from apps.providers.engine.inference.sequence import Sequence
from apps.providers.tests import inference_support

END = 0x110000  # beyond every character


class Characters:
    """Token ids are bytes, so that a character can be cut in half."""

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")


def sequence(*, max_tokens: int = 100, stop: tuple[str, ...] = (), stream: bool = False) -> Sequence:
    return inference_support.sequence(
        max_tokens=max_tokens, stop_ids=frozenset({END}), stop=stop, stream=stream, tokenizer=Characters()
    )


def feed(target: Sequence, text: str) -> list[str]:
    deltas = []
    for byte in text.encode():
        ended = target.accept(byte)
        deltas.append(target.take_delta())
        if ended:
            break
    return deltas


def test_the_stop_token_ends_the_answer_and_is_not_part_of_the_text() -> None:
    answer = sequence()
    feed(answer, "hello")
    assert answer.accept(END)
    assert (answer.text, answer.finish_reason, len(answer.output_ids)) == ("hello", "stop", 6)


def test_the_token_limit_ends_the_answer() -> None:
    answer = sequence(max_tokens=3)
    feed(answer, "hello")
    assert (answer.text, answer.finish_reason) == ("hel", "length")


def test_a_stop_string_is_cut_off_with_all_that_follows() -> None:
    answer = sequence(stop=("lo", "never"))
    feed(answer, "hello world")
    assert (answer.text, answer.finish_reason) == ("hel", "stop")


def test_a_stream_never_shows_half_of_a_character() -> None:
    answer = sequence(stream=True)
    assert feed(answer, "aé") == ["a", "", "é"]


def test_a_stream_holds_back_what_may_become_a_stop_string() -> None:
    answer = sequence(stream=True, stop=("END",))
    assert feed(answer, "xENxEND") == ["x", "", "", "ENx", "", "", ""]
    assert answer.text == "xENx"


def test_waiting_after_the_first_piece_is_not_counted_before_it() -> None:
    answer = sequence(stream=True)
    answer.timing.queue_seconds = 0.5
    assert feed(answer, "a") == ["a"]
    answer.timing.queue_seconds += 2
    feed(answer, "b")
    assert (answer.timing.first_piece_queue_seconds, answer.timing.queue_seconds) == (0.5, 2.5)


@given(
    text=st.text(alphabet="abé€", max_size=30),
    stop=st.lists(st.text(alphabet="abé", min_size=1, max_size=3), max_size=2),
)
def test_the_pieces_of_a_stream_make_the_whole_answer(text: str, stop: list[str]) -> None:
    streamed, whole = sequence(stream=True, stop=tuple(stop)), sequence(stop=tuple(stop))
    pieces = feed(streamed, text)
    feed(whole, text)
    streamed.accept(END)
    whole.accept(END)
    assert "".join([*pieces, streamed.take_delta()]) == streamed.text == whole.text
    assert not any(item in whole.text for item in stop)


def test_a_failed_sequence_takes_no_more_tokens() -> None:
    answer = sequence()
    answer.fail(ApiError(500, "model_failed", "broken"))
    assert answer.accept(65)
    assert answer.output_ids == []
