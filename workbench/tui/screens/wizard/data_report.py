"""What a look at files showed, in words."""

from __future__ import annotations

from workbench.text import printable
from workbench.tui.data_words import FIELDS, KINDS, identifiers, rejected
from workbench.tui.hints import told
from workbench.tui.screens.wizard.data_work import Looked
from workbench.wording import count


def found(looked: Looked) -> str:
    """Return in a line what the files are and how much of them can be taken."""
    seen = looked.peek
    named = count(len(seen.files), "file")
    if len(seen.files) == 1:
        named = printable(seen.files[0].name, limit=24)
    if not seen.kind:
        return f"{named}: not clear yet what the records are."
    every = seen.taken == seen.looked
    part = "All" if every else f"{count(seen.taken)} of"
    if not seen.whole:
        part += " of the first" if every else " the first"
    return f"{named}: {KINDS[seen.kind]}. {part} {count(seen.looked, 'record')} can be taken."


def findings(looked: Looked) -> str:
    """Return what is amiss with them, or why nothing fits."""
    seen = looked.peek
    warned = _first_lines(looked)
    if not seen.kind:
        fault = told(seen.fault, "data") if seen.fault is not None else ""
        if seen.missing:
            named = " and ".join(FIELDS[field] for field in seen.missing)
            fault = f"Still missing: which column holds the {named}?"
        if seen.fault is not None and seen.fault.code == "mixed_kinds":
            return f"{seen.fault.message} Import it as a dataset of its own."
        if seen.files[0].doubtful:  # a record is not shown before somebody reveals it
            return f"{warned}{fault}"
        named = ", ".join(printable(name, limit=30) for name in seen.headings[:20])
        return f"{fault}\n\nThe file has: {named}."
    lines = [warned.rstrip()] if warned else []
    if seen.duplicates:
        verb = "repeats" if seen.duplicates == 1 else "repeat"
        lines.append(f"{count(seen.duplicates)} {verb} an earlier record.")
    if seen.rejected_by_code:
        lines.append("Cannot be taken:")
        lines += [f"  {count(n)} × {rejected(code)}" for code, n in seen.rejected_by_code.items()]
    if seen.sensitive:
        lines.append(f"Likely identifiers: {identifiers(seen.sensitive)}.")
    if not lines and seen.looked:
        lines.append("Nothing is amiss with them.")
    if not seen.whole:
        lines.append("Only the beginning was looked at; sealing reads everything.")
    return "\n".join(lines)


def _first_lines(looked: Looked) -> str:
    """Warn of files that seem to have no header."""
    doubtful = [printable(item.name, limit=24) for item in looked.peek.files if item.doubtful]
    if not doubtful:
        return ""
    return (
        f"▲ The first line of {', '.join(doubtful[:3])} looks like a record, not like names of "
        "columns. If it is one, say so under Options.\n\n"
    )


def about_lengths(looked: Looked) -> str:
    """Return what the lengths mean."""
    preview = looked.preview
    if not preview.lengths:
        return "" if preview.fault is None else told(preview.fault, "data")
    return (
        f"Lengths in tokens, as {preview.model} counts them (about four characters each). The "
        "longest record sets how much memory training takes; you choose that limit in step Fit."
    )
