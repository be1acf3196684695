"""Pure decisions about who gets which boards, and the explanations.  Look here to change a rule of sharing."""
