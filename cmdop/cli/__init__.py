"""The `cmdop` command: one file per verb. Only here is anything printed or asked."""
