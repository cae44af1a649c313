"""The points at which a process is killed are all there are."""

from tests.kill.points import TABLE, Way, methods


def test_of_every_method_of_every_port_it_is_said_whether_it_is_called_on_the_way() -> None:
    assert methods() == TABLE.keys()


def test_of_what_is_left_out_it_is_said_why() -> None:
    assert all(why for way, why in TABLE.values() if way is not Way.ON)
