// A sequence of 31 bits, 2,147,483,647 steps long: nobody simulates it to its end.
`default_nettype none

module endless (
    input wire ICE_35,
    output wire ICE_27
);
    reg [30:0] bits = 0;
    always @(posedge ICE_35) bits <= {bits[29:0], ~(bits[30] ^ bits[27])};
    assign ICE_27 = bits[30];
endmodule
