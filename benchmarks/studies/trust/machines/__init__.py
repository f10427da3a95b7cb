"""Does the suite give verdicts that hold on other processors? Imitated by variables that switch instructions off."""
