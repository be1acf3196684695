// Bursts of pulses on pin ICE_27 of the pico2-ice, played from a block RAM; one burst starts every millisecond.
//
// The RAM holds 256 words of 16 bits: 128 bursts of two words, 32 steps each. A step is 1/32 ms, and burst n has
// 1 + (n + n / 8) % 8 pulses, so that every eight bursts have 36 pulses: 4500 pulses a second on average.

`default_nettype none

module bursts (
    output wire ICE_27
);
    // 48 MHz / 1500 is 32,000 steps a second.
    localparam integer STEP = 1500;

    wire clock;

    // CLKHF_DIV "0b00" is 48 MHz undivided ("iCE Technology Library" by Lattice, SB_HFOSC).
    SB_HFOSC #(
        .CLKHF_DIV("0b00")
    ) oscillator (
        .CLKHFPU(1'b1),
        .CLKHFEN(1'b1),
        .CLKHF(clock)
    );

    // The sixteen words of one INIT parameter: eight bursts, lowest word first; step 0 is bit 0 of the first word.
    function [255:0] eight_bursts(input integer row);
        integer burst, pulse;
        begin
            eight_bursts = 256'b0;
            for (burst = 0; burst < 8; burst = burst + 1)
                for (pulse = 0; pulse <= (burst + row) % 8; pulse = pulse + 1)
                    eight_bursts[32 * burst + 2 * pulse] = 1'b1;
        end
    endfunction

    reg [10:0] count = 0;
    reg [11:0] step = 0;
    reg level = 0;

    wire last = (count == STEP - 1);
    wire [15:0] word;

    always @(posedge clock) begin
        count <= last ? 0 : count + 1;
        step <= step + last;
        // Taken at the end of a step, when the RAM's registered output has long been that of this step.
        if (last) level <= word[step[3:0]];
    end

    SB_RAM40_4K #(
        .READ_MODE(0),
        .WRITE_MODE(0),
        .INIT_0(eight_bursts(0)),
        .INIT_1(eight_bursts(1)),
        .INIT_2(eight_bursts(2)),
        .INIT_3(eight_bursts(3)),
        .INIT_4(eight_bursts(4)),
        .INIT_5(eight_bursts(5)),
        .INIT_6(eight_bursts(6)),
        .INIT_7(eight_bursts(7)),
        .INIT_8(eight_bursts(8)),
        .INIT_9(eight_bursts(9)),
        .INIT_A(eight_bursts(10)),
        .INIT_B(eight_bursts(11)),
        .INIT_C(eight_bursts(12)),
        .INIT_D(eight_bursts(13)),
        .INIT_E(eight_bursts(14)),
        .INIT_F(eight_bursts(15))
    ) table_of_bursts (
        .RADDR({3'b000, step[11:4]}),
        .RCLK(clock),
        .RCLKE(1'b1),
        .RE(1'b1),
        .RDATA(word),
        .WADDR(11'b0),
        .WCLK(1'b0),
        .WCLKE(1'b0),
        .WE(1'b0),
        .MASK(16'b0),
        .WDATA(16'b0)
    );

    assign ICE_27 = level;
endmodule
