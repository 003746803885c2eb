"""Reports: what studies found, as text, tables, charts and pages."""
