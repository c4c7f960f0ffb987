"""What was sent to a kernel, by its msg_ids; held against two plain dictionaries."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from kernelexec.session.sent_requests import SentRequests

MSG_IDS = st.one_of(
    st.builds("{}_{}".format, st.sampled_from(["a1", "b_2", ""]), st.integers(-3, 40)),
    st.sampled_from(["a1", "", "_", "a1_", "a1_007", "a1_４", "a1_9999999999", "a1_999999999", "a1_5000000"]),
)


@given(  # an id is one request's, and an execution may have been sent several times
    st.lists(st.tuples(MSG_IDS, st.integers(1, 30) | st.just(3_000_000)), unique_by=lambda each: each[0])
)
def test_it_knows_what_two_dictionaries_know(sent: list[tuple[str, int]]) -> None:
    requests, numbers, last = SentRequests(), dict[str, int](), dict[int, str]()
    for msg_id, number in sent:
        requests.add(msg_id, number)
        numbers[msg_id] = number
        last[number] = msg_id
    for msg_id in {msg_id for msg_id, _ in sent} | {"a1_1", "a1_01", "never_1", "a1"}:
        assert requests.number(msg_id) == numbers.get(msg_id)
    for number in {number for _, number in sent} | {0, -1, 5, 2**40}:
        assert requests.msg_id(number) == last.get(number)
    requests.clear()
    assert all(requests.number(msg_id) is None for msg_id in numbers)
    assert all(requests.msg_id(number) is None for number in last)


def test_a_run_takes_a_few_bytes() -> None:
    requests = SentRequests()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1, 20_001):
        requests.add(f"{'c' * 32}_{2 * number}", number)
    taken = (tracemalloc.get_traced_memory()[0] - before) / 20_000
    tracemalloc.stop()
    assert taken < 25
