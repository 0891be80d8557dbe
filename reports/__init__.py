"""From the store to HTML, LaTeX, Markdown, CSV, SVG and PDF: one table model, four renderers."""
