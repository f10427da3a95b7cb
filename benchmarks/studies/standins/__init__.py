"""Measure how hard the stand-ins are: what colour alone reaches, what more context adds, and what is the bound."""
