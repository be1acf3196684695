// Reference for the FPGA's own oscillator: a 16th of SB_HFOSC at pin ICE_27, 3 MHz where that has exactly 48 MHz.
//
// The oscillator drifts with time and temperature, and differs from chip to chip; so does the count.

`default_nettype none

module oscillator (
    output wire ICE_27
);
    wire clock;

    // CLKHF_DIV "0b00" is 48 MHz undivided ("iCE Technology Library" by Lattice, SB_HFOSC).
    SB_HFOSC #(
        .CLKHF_DIV("0b00")
    ) source (
        .CLKHFPU(1'b1),
        .CLKHFEN(1'b1),
        .CLKHF(clock)
    );

    reg [3:0] count = 0;

    always @(posedge clock) count <= count + 1;

    assign ICE_27 = count[3];
endmodule
