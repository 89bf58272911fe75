-- Comments on transactions say which field of each API a column is read from. ECP is ECommPay, BGR beGateway's report, DWH
-- beGateway's data warehouse, CG ConvergeGate, FK FireKassa; a provider that is not named does not tell it.

COMMENT ON COLUMN paysync.transactions.provider_transaction_id IS 'The provider''s id of this row, unique within the account. ECP operation_id, BGR uid, DWH uid, CG id, FK id.';
COMMENT ON COLUMN paysync.transactions.parent_transaction_id IS 'The row this one follows from, e.g. the payment of a refund. BGR parent_uid (undocumented), DWH parent_uid, CG parentPaymentId.';
COMMENT ON COLUMN paysync.transactions.payment_group_id IS 'What rows of one payment share. ECP project_id:payment_id, BGR order_id, DWH parent_uid or else uid, CG parentPaymentId or else id.';
COMMENT ON COLUMN paysync.transactions.merchant_reference IS 'The merchant''s own reference. ECP payment_id, BGR tracking_id, DWH tracking_id, CG referenceId, FK order_id.';
COMMENT ON COLUMN paysync.transactions.shop_id IS 'The provider''s shop or project. ECP project_id, BGR shop.id, DWH shop_id or else shop.id, CG shopName.';
COMMENT ON COLUMN paysync.transactions.kind IS 'What the row does: payment, authorization, capture, void, refund, payout, chargeback, verification, other. Made of provider_kind.';
COMMENT ON COLUMN paysync.transactions.provider_kind IS 'The provider''s word for kind. ECP operation_type, BGR type, DWH type, CG paymentType, FK action.';
COMMENT ON COLUMN paysync.transactions.status IS 'How this step ended: succeeded, authorized (held by the provider), pending, failed, canceled, unknown. A refunded payment stays succeeded: see the view payments. Made of provider_status.';
COMMENT ON COLUMN paysync.transactions.provider_status IS 'The provider''s word for status. ECP operation_status, BGR status, DWH status, CG state, FK status.';
COMMENT ON COLUMN paysync.transactions.amount IS 'Amount, major units of currency, exact. ECP sum_initial.amount, BGR amount, DWH amount (minor units there), CG amount, FK amount.';
COMMENT ON COLUMN paysync.transactions.currency IS 'Currency of amount and paid_amount, as the provider writes it. ECP sum_initial.currency, the others currency.';
COMMENT ON COLUMN paysync.transactions.paid_amount IS 'Amount really paid where the provider tells it apart, major units of currency. FK payment_amount.';
COMMENT ON COLUMN paysync.transactions.converted_amount IS 'Amount in the other currency of a conversion, major units of converted_currency. ECP sum_converted.amount, DWH converted_amount, CG customerAmount.';
COMMENT ON COLUMN paysync.transactions.converted_currency IS 'Currency of converted_amount. ECP sum_converted.currency, DWH converted_currency, CG customerCurrency.';
COMMENT ON COLUMN paysync.transactions.fee IS 'The provider''s fee, major units of fee_currency. BGR transaction_fee (as written, its unit is not documented), CG externalFeeAmount, FK commission.';
COMMENT ON COLUMN paysync.transactions.fee_currency IS 'Currency of fee. BGR currency, CG externalFeeCurrency, FK currency.';
COMMENT ON COLUMN paysync.transactions.created_at IS 'When the provider made the row. ECP operation_created_at, CG created (UTC), the others created_at.';
COMMENT ON COLUMN paysync.transactions.updated_at IS 'When the provider last changed it, where the API shows it. ECP operation_completed_at, BGR manually_corrected_at, DWH updated_at, FK updated_at.';
COMMENT ON COLUMN paysync.transactions.paid_at IS 'When it was paid in the provider''s words; no proof of success. ECP provider_date of successful rows, BGR paid_at, DWH paid_at.';
COMMENT ON COLUMN paysync.transactions.settled_at IS 'When it was settled. ECP shipment_date, BGR settled_at, DWH settled_at.';
COMMENT ON COLUMN paysync.transactions.payment_method IS 'Payment method, the provider''s word. ECP payment_method_name, BGR payment_method_type, DWH method.type, CG paymentMethod, FK method.';
COMMENT ON COLUMN paysync.transactions.card_brand IS 'Card brand, the provider''s word. ECP payment_method_type, BGR credit_card.brand or else product, DWH method.credit_card.brand, CG paymentMethodDetails.cardBrand.';
COMMENT ON COLUMN paysync.transactions.card_bin IS 'First six to eight digits of the card. ECP bin or else account_number, BGR credit_card.bin, DWH bin_8 or else bin, CG customerAccountNumber.';
COMMENT ON COLUMN paysync.transactions.card_last4 IS 'Last four digits of the card. ECP account_number, BGR credit_card.last_4, DWH last_4, CG customerAccountNumber, FK card_number or else account.';
COMMENT ON COLUMN paysync.transactions.card_issuer_country IS 'Country of the card''s issuer, ISO 3166-1 alpha-2. ECP country_by_bin, BGR and DWH issuer_country, CG cardIssuingCountryCode.';
COMMENT ON COLUMN paysync.transactions.customer_id IS 'The customer''s id. ECP customer_id, DWH customer.id, CG customer.referenceId, FK account unless it is a card.';
COMMENT ON COLUMN paysync.transactions.customer_email IS 'The customer''s e-mail address; not for paysync_bi. ECP customer_email, the others customer.email.';
COMMENT ON COLUMN paysync.transactions.customer_ip IS 'The customer''s network address; not for paysync_bi. ECP customer_ip, BGR and DWH customer.ip.';
COMMENT ON COLUMN paysync.transactions.error_code IS 'Why it failed, a code; only on failed and canceled rows. ECP payment_provider_code, BGR payment.bank_code, DWH code, CG errorCode, FK payment_error_code.';
COMMENT ON COLUMN paysync.transactions.error_message IS 'Why it failed, in the provider''s words; only on failed and canceled rows. ECP payment_provider_message, BGR message, DWH message, CG errorMessage, FK payment_error.';
COMMENT ON COLUMN paysync.transactions.rrn IS 'Retrieval reference number. ECP rrn, BGR payment.rrn, DWH provider_raw.rrn.';
COMMENT ON COLUMN paysync.transactions.arn IS 'Acquirer reference number. ECP arn.';
COMMENT ON COLUMN paysync.transactions.auth_code IS 'Authorization code. ECP auth_code, BGR payment.auth_code, DWH provider_raw.auth_code.';
COMMENT ON COLUMN paysync.transactions.provider_reference IS 'Reference of the acquirer or payment method. ECP provider_payment_id, BGR payment.ref_id, DWH provider_raw.ref_id, CG terminalName, FK payment_code.';
COMMENT ON COLUMN paysync.transactions.gateway IS 'Gateway or terminal that handled it. BGR payment.gateway_id, DWH gateway.id, CG terminalName.';
COMMENT ON COLUMN paysync.transactions.description IS 'Free text. ECP payment_description, CG description, FK comment, the others description.';
COMMENT ON COLUMN paysync.transactions.is_test IS 'Whether it moved no real money, where the API tells: BGR test, DWH test. Null elsewhere, where tests are told by project or host.';

-- The versions of rows have the same columns.
DO $$
DECLARE
    named record;
BEGIN
    FOR named IN
        SELECT attribute.attname, col_description(attribute.attrelid, attribute.attnum) AS text
        FROM pg_attribute AS attribute
        WHERE attribute.attrelid = 'paysync.transactions'::regclass AND attribute.attnum > 0 AND NOT attribute.attisdropped
    LOOP
        EXECUTE format('COMMENT ON COLUMN paysync.transaction_history.%I IS %L', named.attname, named.text);
    END LOOP;
END
$$;
