"""The provider's list of transactions, page by page, as every peer reads it."""

import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import requests

FIELDS = (Path(__file__).parent / "fields.graphql").read_text()
PAGE_SIZE = 1000


def pages() -> Iterator[list[dict]]:
    """All transactions of the time that run.py names, oldest first, over one connection."""
    filters = {
        "date_type": "created_at",
        "date_from": os.environ["PEER_FROM"],
        "date_to": os.environ["PEER_TO"],
    }
    body = {
        "options": {"limit": PAGE_SIZE, "time_zone": "Etc/UTC"},
        "filter": filters,
        "response_parameters": FIELDS,
    }
    session = requests.Session()
    session.auth = (os.environ["PEER_USER"], os.environ["PEER_PASSWORD"])
    session.headers["Accept"] = "application/json"
    url = f"{os.environ['PEER_URL']}/api/v2/transactions/list"
    more = True
    while more:
        # Read at once: requests itself would put the answer together from pieces of 10 kB.
        answer = session.post(url, json=body, timeout=60, stream=True)
        answer.raise_for_status()
        data = orjson.loads(answer.raw.read(decode_content=True))["data"]
        yield data["transactions"]
        cursor = data["pagination"]
        more = cursor["has_next_page"]
        if more:
            filters["date_from"] = cursor["next_date"]
            filters["uid_from"] = cursor["next_uid"]
