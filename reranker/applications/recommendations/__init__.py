"""Items for a shopper or a page: candidates, filters, the main path, reasons; trending, similar."""
