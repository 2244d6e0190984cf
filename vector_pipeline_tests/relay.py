"""`python -m vector_pipeline_tests.relay ADDRESS PORT…`: passes connections on to the same ports of 127.0.0.1.

It ends with its standard input, and so with whoever started it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    # The end of one direction ends both: a process that was killed leaves no session behind.
    with suppress(OSError):
        writer.close()


async def _serve(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pass_on(reader, onward_writer), _pass_on(onward_reader, writer))


async def _main(address: str, ports: list[int]) -> None:
    servers = [await asyncio.start_server(partial(_serve, port), address, port) for port in ports]
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for server in servers:
        server.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], [int(port) for port in sys.argv[2:]]))
