"""What describes an exported study to others: RO-Crate, Croissant, CODECHECK, a README."""
