// A square wave on pin ICE_27 of the pico2-ice, divided from the FPGA's own 48 MHz oscillator.
//
// HALF_PERIOD is half a period of the wave in cycles of that oscillator: 12000 gives 48 MHz / 24000 = 2 kHz.

`default_nettype none

module square_wave #(
    parameter integer HALF_PERIOD = 12000
) (
    output wire ICE_27
);
    localparam integer WIDTH = $clog2(HALF_PERIOD);

    wire clock;

    // CLKHF_DIV "0b00" is 48 MHz undivided ("iCE Technology Library" by Lattice, SB_HFOSC).
    SB_HFOSC #(
        .CLKHF_DIV("0b00")
    ) oscillator (
        .CLKHFPU(1'b1),
        .CLKHFEN(1'b1),
        .CLKHF(clock)
    );

    // Flip-flops of an iCE40 are 0 once it is configured, so there is no reset.
    reg [WIDTH-1:0] count = 0;
    reg level = 0;

    wire last = (count == HALF_PERIOD - 1);

    always @(posedge clock) begin
        count <= last ? 0 : count + 1;
        level <= level ^ last;
    end

    assign ICE_27 = level;
endmodule
