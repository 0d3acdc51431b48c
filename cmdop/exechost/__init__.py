"""A program with three pipes and no terminal, whatever the platform: `factory.open_program` is the way in."""
