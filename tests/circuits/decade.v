// A decimal counter that resets itself, without the clock, as soon as it reaches ten.
`default_nettype none

module decade (
    input wire ICE_35,
    output wire ICE_27, ICE_25
);
    reg [3:0] ones = 0;
    wire ten = ones[3] & ones[1];
    always @(posedge ICE_35 or posedge ten) if (ten) ones <= 0; else ones <= ones + 1;
    reg tens = 0;
    always @(negedge ones[3]) tens <= ~tens;
    assign ICE_27 = ones[3];
    assign ICE_25 = tens;
endmodule
