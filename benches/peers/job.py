"""What is copied: the transactions of one simulated account, up to now."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import requests

FIELDS = Path(__file__).parent / "fields.graphql"


class Job:
    """The account as paysync's configuration and as the peers' environment."""

    def __init__(self, simulated: Path) -> None:
        accounts = tomllib.loads(simulated.read_text())["accounts"]
        [account] = [account for account in accounts if account["provider"] == "begateway_dwh"]
        self.url = account["base_url"]
        self.user = account["credentials"]["psp_id"]
        self.password = account["credentials"]["secret_key"]
        self.start = account["start_from"]
        self.end = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def environment(self) -> dict[str, str]:
        """What source.py reads; the API takes times with an offset, not with a Z."""
        return {
            "PEER_URL": self.url,
            "PEER_USER": self.user,
            "PEER_PASSWORD": self.password,
            "PEER_FROM": self.start.replace("Z", "+00:00"),
            "PEER_TO": self.end.replace("Z", "+00:00"),
        }

    def configuration(self, database_url: str) -> str:
        """paysync's defaults; only that it reads up to this moment, as the peers do, and may ask as often."""
        return f"""
[database]
url = "{database_url}"

[[accounts]]
id = "peer"
provider = "begateway_dwh"
base_url = "{self.url}"
start_from = "{self.start}"
lag = "0s"
requests_per_minute = 60000
credentials = {{ psp_id = "{self.user}", secret_key = "{self.password}" }}

[accounts.options]
response_parameters = '''
{FIELDS.read_text()}'''
"""

    def count(self) -> int:
        """How many rows the provider says there are."""
        environment = self.environment()
        answer = requests.post(
            f"{self.url}/api/v2/transactions/count",
            json={"filter": {"date_from": environment["PEER_FROM"], "date_to": environment["PEER_TO"]}},
            headers={"Accept": "application/json"},
            auth=(self.user, self.password),
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()["data"]["count"]
