// Flip-flops at the falling edge, clocks made by flip-flops and by gates.
`default_nettype none

module edges (
    input wire ICE_35,
    output wire ICE_27, ICE_25, ICE_26, ICE_23
);
    reg [3:0] first = 0;
    always @(posedge ICE_35) first <= first + 1;
    reg second = 0;
    always @(negedge ICE_35) second <= first[2];

    // Ripple: each stage is clocked by the one before.
    reg r0 = 0, r1 = 0, r2 = 0;
    always @(negedge first[3]) r0 <= ~r0;
    always @(posedge r0) r1 <= ~r1;
    always @(negedge r1) r2 <= ~r2;

    // The gate of the clock changes while the clock is low.
    reg gate = 0;
    always @(negedge ICE_35) gate <= first[1] & ~first[3];
    wire gated = ICE_35 & gate;
    reg [4:0] behind = 0;
    always @(posedge gated) behind <= behind + 1;

    assign ICE_27 = r2;
    assign ICE_25 = second ^ first[3];
    assign ICE_26 = behind[4];
    assign ICE_23 = gated;
endmodule
