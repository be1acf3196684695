// A divider from each clock that a circuit can have: CLOCK is hf48, hf24, hf12, hf6, lf, pin or pad.
`default_nettype none

module divider #(parameter CLOCK = "hf48", parameter HALF_PERIOD = 300) (
    input wire ICE_35,
    output wire ICE_27
);
    wire clock;
    generate
        if (CLOCK == "hf48") SB_HFOSC #(.CLKHF_DIV("0b00")) source (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(clock));
        if (CLOCK == "hf24") SB_HFOSC #(.CLKHF_DIV("0b01")) source (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(clock));
        if (CLOCK == "hf12") SB_HFOSC #(.CLKHF_DIV("0b10")) source (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(clock));
        if (CLOCK == "hf6") SB_HFOSC #(.CLKHF_DIV("0b11")) source (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(clock));
        if (CLOCK == "lf") SB_LFOSC source (.CLKLFPU(1'b1), .CLKLFEN(1'b1), .CLKLF(clock));
        if (CLOCK == "pin") assign clock = ICE_35;
        if (CLOCK == "pad") begin
            // 48 MHz / 3 * 48 / 16 = 48 MHz, halved
            SB_PLL40_PAD #(
                .FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT("GENCLK_HALF"), .DIVR(4'd2), .DIVF(7'd47), .DIVQ(3'd4), .FILTER_RANGE(3'd1)
            ) pll (.PACKAGEPIN(ICE_35), .PLLOUTGLOBAL(clock), .RESETB(1'b1), .BYPASS(1'b0));
        end
    endgenerate

    reg [$clog2(HALF_PERIOD)-1:0] count = 0;
    reg level = 0;
    always @(posedge clock) begin
        count <= count == HALF_PERIOD - 1 ? 0 : count + 1;
        level <= level ^ (count == HALF_PERIOD - 1);
    end
    assign ICE_27 = level;
endmodule
