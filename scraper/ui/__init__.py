"""What people read: results, tables, progress, diagnostics."""
