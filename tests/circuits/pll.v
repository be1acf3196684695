// A divider from a PLL that multiplies the FPGA's own oscillator: 6 MHz * 64 / 16 = 24 MHz. The PLL takes the place of pin 35's input.
`default_nettype none

module pll (
    output wire ICE_27
);
    wire slow, clock;
    SB_HFOSC #(.CLKHF_DIV("0b11")) source (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(slow));
    SB_PLL40_CORE #(
        .FEEDBACK_PATH("SIMPLE"), .DIVR(4'd0), .DIVF(7'd63), .DIVQ(3'd4), .FILTER_RANGE(3'd1)
    ) pll (.REFERENCECLK(slow), .PLLOUTCORE(clock), .RESETB(1'b1), .BYPASS(1'b0));
    reg [5:0] count = 0;
    reg level = 0;
    always @(posedge clock) begin
        count <= count == 49 ? 0 : count + 1;
        level <= level ^ (count == 49);
    end
    assign ICE_27 = level;
endmodule
