// For the first board on a desk (docs/hardware.md): leaves pin ICE_27 alone, so that a signal generator can drive it; sends
// back at ICE_11 what comes at ICE_9; and gives a square wave of 1 kHz at ICE_18.

`default_nettype none

module bring_up (
    input wire ICE_9,
    output wire ICE_11,
    output wire ICE_18
);
    assign ICE_11 = ICE_9;

    square_wave #(
        .HALF_PERIOD(24000)
    ) wave (
        .ICE_27(ICE_18)
    );
endmodule
