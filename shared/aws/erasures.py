"""What is left of those who were erased: their receipts, and the removal of everything else.

Receipts lie in a partition of their own (`RECEIPTS`), by the hash of the tenant's id.
"""

from collections.abc import Sequence
from typing import Final

from shared.aws.table import Condition, Delete, Item, Put, Table
from shared.domain.erasure import Erasure
from shared.domain.ledger import Book

__all__ = ["ErasureStore"]

_AT_ONCE: Final = 90
"""Items that are removed in one transaction, which takes up to 100."""


class ErasureStore:
    """Keep receipts of erasures, and remove what they speak of.

    Every method raises `Transient` when the table does not answer.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def receipt(self, tenant_hash: str, episode: int) -> Erasure | None:
        """Return the receipt of a tenant's life, or None."""
        item = self._table.get("RECEIPTS", _name(tenant_hash, episode))
        return None if item is None else Erasure.model_validate(item)

    def keep(self, erasure: Erasure) -> None:
        """Write a receipt, in place of an earlier state of it."""
        key = {"pk": "RECEIPTS", "sk": _name(erasure.tenant_hash, erasure.episode)}
        self._table.write(Put({**key, **erasure.model_dump(exclude_none=True)}))

    def closing_receipts(self, tenant_id: str) -> list[Item]:
        """Return the receipts of each closing of a tenant."""
        return list(self._table.query(f"TENANT#{tenant_id}", prefix="RECEIPT#"))

    def forget(self, pk: str, prefix: str) -> int:
        """Remove the items of a partition whose sort keys begin so; return how many there were."""
        found = [
            Delete({"pk": pk, "sk": str(item["sk"])})
            for item in self._table.query(pk, prefix=prefix)
        ]
        self._remove(found)
        return len(found)

    def forget_billing(self, book: Book) -> int:
        """Remove all that billing said of a tenant; return how many items that were.

        Raises:
            Conflict: billing says something at this moment: read the book again.
        """
        tenant = f"TENANT#{book.tenant_id}"
        found = [
            *(Delete({"pk": f"CUSTOMER#{key}", "sk": "META"}) for key in book.customers),
            *(Delete({"pk": f"SUB#{one.ref.key}", "sk": "META"}) for one in book.subscriptions),
            *(Delete({"pk": tenant, "sk": f"SUB#{one.ref.key}"}) for one in book.subscriptions),
        ]
        if not found and book.version == 0:
            return 0
        self._remove(found)
        # Last, since it leads to the others; a word that came meanwhile has changed it.
        as_read = Condition(
            "book is as it was read",
            "#version = :read",
            {"#version": "version"},
            {":read": book.version},
        )
        self._table.write(Delete({"pk": tenant, "sk": "SUB"}, as_read))
        return len(found) + 1

    def _remove(self, found: Sequence[Delete]) -> None:
        for start in range(0, len(found), _AT_ONCE):
            self._table.transact(found[start : start + _AT_ONCE])


def _name(tenant_hash: str, episode: int) -> str:
    return f"{tenant_hash}#{episode:06}"
