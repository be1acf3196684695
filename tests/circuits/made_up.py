"""Makes circuits up: Verilog with registers of all kinds, arithmetic (with DSP blocks), and sometimes a block RAM."""

from __future__ import annotations

from random import Random

from attrs import Factory, define, frozen

__all__ = ["made_up_source"]

_TWO = ("{a} + {b}", "{a} - {b}", "{a} ^ {b}", "{a} & {b}", "{a} | {b}", "~({a} ^ {b})", "{a} * {b}")
_ONE_BIT = ("{a} < {b}", "{a} == {b}", "^({a} & {b})", "{a} != {b}", "&({a} | {b})")


@frozen
class _Register:
    name: str
    width: int
    first: int
    edge: str


@define
class _Maker:
    """Draws a module, line by line."""

    random: Random
    registers: list[_Register] = Factory(list)

    def module(self) -> str:
        r = self.random
        # One edge alone, or mostly the rising one.
        edges = r.choice((("posedge",), ("negedge",), ("posedge", "posedge", "negedge")))
        for i in range(r.randint(3, 9)):
            width = r.choice((1, 2, 3, 5, 7, 8, 9, 12, 16, 17))
            first = r.choice((0, 0, r.getrandbits(width)))
            self.registers.append(_Register(f"r{i}", width, first, r.choice(edges)))
        lines = ["`default_nettype none", "module made_up (input wire ICE_35, output wire ICE_27, output wire ICE_25);"]
        lines += [f"  reg [{each.width - 1}:0] {each.name} = {each.first};" for each in self.registers]
        memory = self._memory() if r.random() < 0.3 else []
        lines += memory
        for each in self.registers:
            lines += self._process(each)
        seen = " ^ seen" if memory else ""
        lines += [
            f"  assign ICE_27 = ({self._bit()}){seen};",
            f"  assign ICE_25 = {self._pick().name}[0];",
            "endmodule",
            "",
        ]
        return "\n".join(lines)

    def _memory(self) -> list[str]:
        """A memory whose output is one more register for the others to read."""
        width, depth = self.random.choice((2, 4, 8, 16)), self.random.choice((16, 256, 512))
        write, at, to = self._bit(), self._word(), self._word()
        self_read = self._word()
        return [
            f"  reg [{width - 1}:0] memory [0:{depth - 1}]; reg [{width - 1}:0] read = 0; integer i;",
            f"  initial for (i = 0; i < {depth}; i = i + 1) memory[i] = i * 37 + (i >> 3);",
            f"  wire [{width - 1}:0] data = {to};",
            f"  wire [{depth.bit_length() - 2}:0] write_at = {at}, read_at = {self_read};",
            f"  always @(posedge ICE_35) begin if ({write}) memory[write_at] <= data; read <= memory[read_at]; end",
            "  reg seen = 0; always @(posedge ICE_35) seen <= ^read;",
        ]

    def _process(self, register: _Register) -> list[str]:
        r = self.random
        step = f"{register.name} <= {self._word()};"
        # Something always moves.
        if register.name == "r0":
            step = f"r0 <= r0 + {self._pick().name} + 1;"
        elif r.random() < 0.3:
            step = f"{register.name} <= {{{register.name}, {self._bit()}}};"
        if r.random() < 0.3:
            step = f"if ({self._bit()}) {register.name} <= {r.choice((0, r.getrandbits(register.width)))}; else {step}"
        if r.random() < 0.4 and register.name != "r0":
            step = f"if ({self._bit()}) begin {step} end"
        return [f"  always @({register.edge} ICE_35) {step}"]

    def _pick(self) -> _Register:
        return self.random.choice(self.registers)

    def _word(self) -> str:
        a, b, c = (self._pick().name for _ in range(3))
        text = self.random.choice(_TWO).format(a=a, b=b)
        return f"({self._bit()}) ? ({text}) : {c}" if self.random.random() < 0.4 else text

    def _bit(self) -> str:
        return self.random.choice(_ONE_BIT).format(a=self._pick().name, b=self._pick().name)


def made_up_source(seed: int) -> str:
    """Return the Verilog of a circuit; the same seed gives the same one."""
    return _Maker(Random(seed)).module()
