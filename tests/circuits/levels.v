// Pins that never change, that are the inverse of others, and that nothing drives.
`default_nettype none

module levels (
    input wire ICE_35,
    output wire ICE_27, ICE_25, ICE_26, ICE_23
);
    reg [9:0] count = 0;
    always @(posedge ICE_35) count <= count + 1;
    assign ICE_27 = ~count[9];
    assign ICE_25 = 1'b1;
    assign ICE_26 = 1'b0;
    assign ICE_23 = count[9];
endmodule
