"""A transaction of the provider as a row: the columns that paysync fills from this provider, and the item itself."""

from decimal import Decimal

import orjson

COLUMNS = (
    "account_id",
    "provider",
    "provider_transaction_id",
    "parent_transaction_id",
    "payment_group_id",
    "merchant_reference",
    "shop_id",
    "kind",
    "provider_kind",
    "status",
    "provider_status",
    "amount",
    "currency",
    "converted_amount",
    "converted_currency",
    "created_at",
    "updated_at",
    "paid_at",
    "settled_at",
    "payment_method",
    "card_brand",
    "card_bin",
    "card_last4",
    "card_issuer_country",
    "customer_id",
    "customer_email",
    "customer_ip",
    "error_code",
    "error_message",
    "rrn",
    "auth_code",
    "provider_reference",
    "gateway",
    "description",
    "is_test",
    "payload",
)
KEY = ("account_id", "provider_transaction_id")
AMOUNTS = ("amount", "converted_amount")
TIMES = ("created_at", "updated_at", "paid_at", "settled_at")

KINDS = {
    "payment": "payment",
    "p2p": "payment",
    "authorization": "authorization",
    "capture": "capture",
    "void": "void",
    "refund": "refund",
    "payout": "payout",
    "credit": "payout",
    "chargeback": "chargeback",
    "tokenization": "verification",
}
STATUSES = {
    "successful": "succeeded",
    "pending": "pending",
    "incomplete": "pending",
    "failed": "failed",
    "error": "failed",
    "expired": "canceled",
}
# Decimals of the currencies that do not have two, as this provider counts them.
DECIMALS = {
    **dict.fromkeys(("BHD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    "MOP": 1,
    **dict.fromkeys(
        ("BIF", "BYR", "CLF", "CLP", "CVE", "DJF", "GNF", "IDR", "IQD", "IRR", "ISK", "JPY", "KMF", "KPW"), 0
    ),
    **dict.fromkeys(
        ("KRW", "LAK", "LBP", "MMK", "PYG", "RWF", "SLL", "STD", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0
    ),
}


def row(item: dict) -> tuple:
    """Texts where PostgreSQL reads them as well as Python does, exact amounts, the item as JSON text."""
    shop = item["shop"]
    gateway = item["gateway"]
    customer = item["customer"]
    provider = item["provider_raw"]
    method = item["method"] or {}
    card = method.get("credit_card") or {}
    # Its holder could charge the card.
    card.pop("token", None)
    uid = item["uid"]
    parent = item["parent_uid"]
    status = STATUSES.get(item["status"], "unknown")
    unsuccessful = status in ("failed", "canceled")
    return (
        "peer",
        "begateway_dwh",
        uid,
        parent,
        parent or uid,
        item["tracking_id"],
        text(shop["id"]),
        KINDS.get(item["type"], "other"),
        item["type"],
        status,
        item["status"],
        major(item["amount"], item["currency"]),
        item["currency"],
        major(item["converted_amount"], item["converted_currency"]),
        item["converted_currency"],
        item["created_at"],
        item["updated_at"],
        item["paid_at"],
        item["settled_at"],
        method.get("type") or ("credit_card" if card else None),
        card.get("brand"),
        card.get("bin_8") or card.get("bin"),
        card.get("last_4"),
        card.get("issuer_country"),
        customer["id"],
        customer["email"],
        customer["ip"],
        item["code"] or None if unsuccessful else None,
        item["message"] or None if unsuccessful else None,
        provider["rrn"],
        provider["auth_code"],
        provider["ref_id"],
        text(gateway["id"]),
        item["description"] or None,
        item["test"],
        orjson.dumps(item).decode(),
    )


def major(minor: int | None, currency: str | None) -> Decimal | None:
    """Minor units as an exact amount."""
    if minor is None:
        return None
    return Decimal(minor).scaleb(-DECIMALS.get(currency, 2))


def text(value: int | None) -> str | None:
    """An id as text."""
    return None if value is None else str(value)
