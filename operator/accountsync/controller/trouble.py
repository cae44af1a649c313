"""Where an unknown error came from: its text and locals may hold what must not be logged; its place may not."""


def place_of(error: BaseException) -> str:
    """Function and line that raised it."""
    place = "?"
    trace = error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
