// A square wave on each of four pins of the pico2-ice, for the kind multipulsecount: 1, 2, 4 and 8 kHz on ICE_9, ICE_11, ICE_25 and
// ICE_27, divided from the FPGA's own 48 MHz oscillator.
`default_nettype none

module four_pins (
    output wire ICE_9,
    output wire ICE_11,
    output wire ICE_25,
    output wire ICE_27
);
    square_wave #(.HALF_PERIOD(3000)) fastest (.ICE_27(ICE_27));

    // Halves of it, one after the other.
    reg [2:0] halves = 0;
    always @(posedge ICE_27) halves <= halves + 1;
    assign {ICE_9, ICE_11, ICE_25} = halves;
endmodule
