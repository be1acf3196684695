// The LED driver: its three pins sink a current, or none.
`default_nettype none

module led (
    input wire ICE_35,
    output wire ICE_27, ICE_39, ICE_40, ICE_41
);
    reg [9:0] count = 0;
    always @(posedge ICE_35) count <= count + 1;
    SB_RGBA_DRV #(.RGB0_CURRENT("0b000001"), .RGB1_CURRENT("0b000001"), .RGB2_CURRENT("0b000001")) driver (
        .CURREN(1'b1), .RGBLEDEN(~count[9]), .RGB0PWM(count[3]), .RGB1PWM(count[4]), .RGB2PWM(1'b1),
        .RGB0(ICE_39), .RGB1(ICE_40), .RGB2(ICE_41)
    );
    assign ICE_27 = count[9];
endmodule
