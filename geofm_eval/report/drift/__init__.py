"""What tuning changed inside backbones: tables, figures and text from drift records."""
