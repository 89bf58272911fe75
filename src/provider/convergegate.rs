//! ConvergeGate: offset paging over an order that moves.
