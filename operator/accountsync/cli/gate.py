"""`accountsync gate`: the process beside a bot that says whether it may trade; and a person's override of one."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import click

URL = "http://127.0.0.1:8711"
CALL_TIMEOUT = 10
PATH = click.Path(path_type=Path)


def variable(name: str) -> str:
    """The environment variable of an option."""
    return f"ACCOUNTSYNC_GATE_{name}"


@click.group(invoke_without_command=True)
@click.option("--account", envvar=variable("ACCOUNT"), show_envvar=True, help="Name of the bot's TradingAccount.")
@click.option(
    "-n",
    "--namespace",
    envvar=[variable("NAMESPACE"), "POD_NAMESPACE"],
    show_envvar=True,
    default="",
    help="Its namespace.  [default: the pod's, or the kubeconfig's]",
)
@click.option("--kubeconfig", envvar=variable("KUBECONFIG"), show_envvar=True, default="", help="Instead of the pod's.")
@click.option(
    "--listen",
    envvar=variable("LISTEN"),
    show_envvar=True,
    default="127.0.0.1:8711",
    show_default=True,
    help="HOST:PORT to serve on; port 0: any. Wider than loopback needs --token-file or --without-token.",
)
@click.option(
    "--token-file",
    envvar=variable("TOKEN_FILE"),
    show_envvar=True,
    type=PATH,
    help="Holds what others than the bot's pod sign in with, to read /state or to write.",
)
@click.option(
    "--without-token",
    envvar=variable("WITHOUT_TOKEN"),
    show_envvar=True,
    is_flag=True,
    help="Others get no more than /gate, /metrics, /livez and /readyz.",
)
@click.option(
    "--token-for-all",
    envvar=variable("TOKEN_FOR_ALL"),
    show_envvar=True,
    is_flag=True,
    help="The bot's pod needs the token too, e.g. behind a service mesh's proxy.",
)
@click.option("--file", envvar=variable("FILE"), show_envvar=True, type=PATH, help="Tell the answer by this file.")
@click.option(
    "--file-says",
    envvar=variable("FILE_SAYS"),
    show_envvar=True,
    type=click.Choice(["presence", "content"]),
    default="presence",
    show_default=True,
    help="It is there while closed, or its first line says open, closed ReduceOnly or closed Halt.",
)
@click.option("--signal", envvar=variable("SIGNAL"), show_envvar=True, default="", help="Send it on closing: USR1.")
@click.option(
    "--signal-open", envvar=variable("SIGNAL_OPEN"), show_envvar=True, default="", help="And this on opening."
)
@click.option("--pid", envvar=variable("PID"), show_envvar=True, type=int, help="The process to signal.")
@click.option("--pid-file", envvar=variable("PID_FILE"), show_envvar=True, type=PATH, help="Or the file that names it.")
@click.option(
    "--on-close",
    envvar=variable("ON_CLOSE"),
    show_envvar=True,
    default="",
    help="Run this command, without a shell, on closing; ACCOUNTSYNC_GATE_REASONS and others say why.",
)
@click.option("--on-open", envvar=variable("ON_OPEN"), show_envvar=True, default="", help="And this one on opening.")
@click.option(
    "--hook-timeout",
    envvar=variable("HOOK_TIMEOUT"),
    show_envvar=True,
    default="10s",
    show_default=True,
    help="A command that takes longer is ended, and tried again.",
)
@click.pass_context
def gate(ctx: click.Context, /, **options: object) -> None:
    """Say beside a bot whether it may trade, until told to stop.

    Watches one TradingAccount and the operator's heartbeat for it, and answers at GET /gate, GET /gate/events, by a
    file, a signal or a command. Closed until it knows better. docs/gate.md says all of it.
    """
    if ctx.invoked_subcommand is not None:
        return
    import asyncio  # noqa: PLC0415 - aiohttp and all that takes its time; an override needs none of it

    from accountsync.gate import logs  # noqa: PLC0415
    from accountsync.gate.access import AccessError  # noqa: PLC0415
    from accountsync.gate.outlets import FileSays  # noqa: PLC0415
    from accountsync.gate.process import serve  # noqa: PLC0415
    from accountsync.gate.settings import Settings  # noqa: PLC0415

    given = {name: value for name, value in options.items() if value is not None}
    settings = Settings(**{"account": "", **given, "file_says": FileSays(str(given["file_says"]))})  # type: ignore[arg-type]
    logs.configure()
    try:
        asyncio.run(serve(settings))
    except (ValueError, AccessError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot listen on {settings.listen}: {error.strerror or error}") from None


@gate.command()
@click.option("--for", "span", help="How long, e.g. 30m; at most 24h.")
@click.option("--reason", default="", help="Why, for the people who find it so.")
@click.option("--end", is_flag=True, help="Take the override back.")
@click.option("--url", envvar=variable("URL"), show_envvar=True, default=URL, show_default=True, help="Of the gate.")
@click.option("--token-file", envvar=variable("TOKEN_FILE"), show_envvar=True, type=PATH, help="Holds its token.")
@click.option("--by", envvar="USER", default="", help="Who you are.  [default: USER]")
def override(*, span: str | None, reason: str, end: bool, url: str, token_file: Path | None, by: str) -> None:
    """Break the glass: open a gate for a while, whatever holds it.

    Only this gate knows of it: it logs it, its metric accountsync_gate_overridden is 1, and its answers say so. A gate
    that starts anew has forgotten it. Run it in the bot's pod: kubectl exec.
    """
    if end and (span or reason):
        raise click.UsageError("--end takes an override back: not with --for or --reason")
    if not end and not (span and reason.strip()):
        raise click.UsageError("say how long and why: --for 30m --reason '…'; or --end")
    body = None if end else json.dumps({"for": span, "reason": reason, "by": by}).encode()
    headers = {"Content-Type": "application/json"}
    if token_file is not None:
        try:
            headers["Authorization"] = f"Bearer {token_file.read_bytes().strip().decode('latin-1')}"
        except OSError as error:
            raise click.ClickException(f"--token-file: {error.strerror}") from None
    click.echo(_told(_call("DELETE" if end else "PUT", f"{url.rstrip('/')}/override", body, headers)))


def _call(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> dict[str, object]:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError("--url: expected http://HOST:PORT")
    request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310 - checked above
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=CALL_TIMEOUT) as response:
            answer: dict[str, object] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(_refusal(error)) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        raise click.ClickException(f"no gate answers at {url}: {why}") from None


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        return f"the gate refuses: {json.load(error)['error']}"
    except (ValueError, KeyError, TypeError):
        return f"the gate answers with status {error.code}"


def _told(answer: dict[str, object]) -> str:
    where = f"{answer.get('namespace')}/{answer.get('account')}"
    overridden = answer.get("overridden")
    if isinstance(overridden, dict):
        return f"the gate of {where} is open until {overridden.get('until')}, whatever stands"
    level = answer.get("level")
    return f"the gate of {where} is {'open' if answer.get('open') else f'closed at {level}'}"
