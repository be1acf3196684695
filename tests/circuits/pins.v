// IO cells with registers: output, output of both edges, input that reads its own pin, output that is enabled now and then.
`default_nettype none

module pins (
    input wire ICE_35,
    output wire ICE_27, ICE_25,
    inout wire ICE_26, ICE_23,
    output wire ICE_2
);
    reg [8:0] count = 0;
    always @(posedge ICE_35) count <= count + 1;

    // registered output
    SB_IO #(.PIN_TYPE(6'b0101_01)) a (.PACKAGE_PIN(ICE_27), .OUTPUT_CLK(ICE_35), .CLOCK_ENABLE(1'b1), .D_OUT_0(count[4]));
    // both edges
    SB_IO #(.PIN_TYPE(6'b0100_01)) b (
        .PACKAGE_PIN(ICE_25), .OUTPUT_CLK(ICE_35), .CLOCK_ENABLE(1'b1), .D_OUT_0(count[2]), .D_OUT_1(count[1])
    );
    // an output that is read back through the input's register
    wire back;
    SB_IO #(.PIN_TYPE(6'b0110_00)) c (
        .PACKAGE_PIN(ICE_26), .INPUT_CLK(ICE_35), .CLOCK_ENABLE(1'b1), .D_OUT_0(count[5] ^ count[3]), .D_IN_0(back)
    );
    // enabled by a register of the pin, inverted register
    SB_IO #(.PIN_TYPE(6'b1111_01)) d (
        .PACKAGE_PIN(ICE_23), .OUTPUT_CLK(ICE_35), .CLOCK_ENABLE(1'b1), .D_OUT_0(count[3]), .OUTPUT_ENABLE(count[6])
    );
    assign ICE_2 = back & count[0];
endmodule
