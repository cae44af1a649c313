"""accountsync operator: run the controller."""

import asyncio
import logging
import sys

import click
import structlog


@click.command()
@click.option("-n", "--namespace", "namespaces", multiple=True, help="Watch only this namespace; may be repeated.")
@click.option("--host", help="Address for /metrics, /livez and /readyz.  [env: ACCOUNTSYNC_HOST; 0.0.0.0]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port for the same; 0: any.  [env: ACCOUNTSYNC_PORT; 9090]")
@click.option(
    "--allow-endpoint",
    multiple=True,
    help="An origin that spec.exchange.endpoint may name, e.g. http://127.0.0.1:*."
    "  [env: ACCOUNTSYNC_ALLOWED_ENDPOINTS]",
)
@click.option(
    "--allow-bot-url",
    multiple=True,
    help="An origin that a bot's url may have, besides Services of its namespace; of a database postgres+tls://host:port."
    "  [env: ACCOUNTSYNC_ALLOWED_BOT_URLS]",
)
@click.option(
    "--watch-secrets/--no-watch-secrets",
    default=None,
    help="Watch labelled Secrets (needs the verb watch), or only read them by name every minute."
    "  [env: ACCOUNTSYNC_WATCH_SECRETS; on]",
)
@click.option(
    "--watch-configmaps/--no-watch-configmaps",
    default=None,
    help="Watch ConfigMaps labelled as bot state, or read them only when a cycle is due."
    "  [env: ACCOUNTSYNC_WATCH_CONFIGMAPS; on]",
)
@click.option(
    "--evidence/--no-evidence",
    default=None,
    help="Write evidence of all accounts to GRINDER_ARTIFACT_DIR (.artifacts), or only where spec.evidence asks for it."
    "  [env: GRINDER_ACCOUNT_SYNC_EVIDENCE; off]",
)
@click.option(
    "--evidence-keep",
    type=click.IntRange(1),
    help="Bundles of evidence to keep.  [env: ACCOUNTSYNC_EVIDENCE_KEEP; 1000]",
)
@click.option(
    "--evidence-max-bytes",
    type=click.IntRange(1),
    help="Bytes of evidence to keep.  [env: ACCOUNTSYNC_EVIDENCE_MAX_BYTES; 256 MiB]",
)
@click.option("--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True)
def operator(log_format: str, **options: object) -> None:
    """Watch TradingAccounts and judge them until told to stop.

    Finds the cluster from its service account, or else from KUBECONFIG.
    """
    configure_logs(log_format)
    from dataclasses import replace  # noqa: PLC0415

    names = {"allow_endpoint": "allowed_endpoints", "allow_bot_url": "allowed_bot_urls"}
    given = {names.get(name, name): value for name, value in options.items() if value not in (None, ())}
    try:
        from accountsync.controller import handlers  # noqa: PLC0415 - kopf and the client take half a second to import
        from accountsync.controller.operator import StartError  # noqa: PLC0415
        from accountsync.controller.settings import Settings  # noqa: PLC0415

        prepared = handlers.prepared(replace(Settings.from_env(), **given))  # type: ignore[arg-type]
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        asyncio.run(handlers.serve(*prepared))
    except StartError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)


def configure_logs(log_format: str) -> None:
    """Let structlog and the standard library log alike, on standard error. No locals in tracebacks: they hold keys."""
    renderer = structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(
                    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
                ),
                renderer,
            ],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
