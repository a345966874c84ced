"""The account and the token: what `init` and `doctor` ask."""

from shared.cloudflare.errors import BadToken
from shared.cloudflare.models import AccountInfo, TokenStatus
from shared.cloudflare.transport import Calls

__all__ = ["Account"]


class Account:
    """Ask about the API token and the accounts it can see."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def verify_token(self) -> TokenStatus:
        """Return whether the token is active; says nothing of its permissions.

        A token belongs to a user or to an account, and only its own kind's address knows it.

        Raises:
            BadToken: neither does.
        """
        operation = "verify token"
        try:
            answer = self._calls.read("GET", "user/tokens/verify", operation)
            owner = "user"
        except BadToken:
            path = f"{self._calls.account}/tokens/verify"
            answer = self._calls.read("GET", path, operation)
            owner = "account"
        return answer.parsed(TokenStatus).model_copy(update={"owner": owner})

    def accounts(self) -> list[AccountInfo]:
        """Return the accounts that the token can see, the first fifty."""
        answer = self._calls.read("GET", "accounts", "list accounts", params={"per_page": 50})
        return answer.parsed_list(AccountInfo)
