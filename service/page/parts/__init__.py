"""What all tabs share: context, request sets, cases, matrix, widgets."""
