// What makes clocks, and the LED driver, for a functional simulation: a unit of time is 1/384 of a microsecond, all clocks are low at first, and each
// rises for the first time half a period later.
`timescale 1ns / 1ns

module SB_HFOSC #(parameter CLKHF_DIV = "0b00", parameter TRIM_EN = "0b0") (
    input CLKHFPU, CLKHFEN, TRIM0, TRIM1, TRIM2, TRIM3, TRIM4, TRIM5, TRIM6, TRIM7, TRIM8, TRIM9,
    output reg CLKHF = 0
);
    localparam HALF = CLKHF_DIV == "0b00" ? 4 : CLKHF_DIV == "0b01" ? 8 : CLKHF_DIV == "0b10" ? 16 : 32;
    always #HALF CLKHF = ~CLKHF;
endmodule

module SB_LFOSC (input CLKLFPU, CLKLFEN, output reg CLKLF = 0);
    always #19200 CLKLF = ~CLKLF;
endmodule

// The output's half period is worked out by hand for the one set of dividers that the circuits use.
module SB_PLL40_CORE #(
    parameter FEEDBACK_PATH = "", PLLOUT_SELECT = "", DIVR = 0, DIVF = 0, DIVQ = 0, FILTER_RANGE = 0
) (input REFERENCECLK, RESETB, BYPASS, output reg PLLOUTCORE = 0, output PLLOUTGLOBAL);
    always #8 PLLOUTCORE = ~PLLOUTCORE;
    assign PLLOUTGLOBAL = PLLOUTCORE;
endmodule

module SB_PLL40_PAD #(
    parameter FEEDBACK_PATH = "", PLLOUT_SELECT = "", DIVR = 0, DIVF = 0, DIVQ = 0, FILTER_RANGE = 0
) (input PACKAGEPIN, RESETB, BYPASS, output reg PLLOUTCORE = 0, output PLLOUTGLOBAL);
    always #8 PLLOUTCORE = ~PLLOUTCORE;
    assign PLLOUTGLOBAL = PLLOUTCORE;
endmodule

// The LED driver sinks a current, or the LED pulls its pin up.
module SB_RGBA_DRV #(
    parameter CURRENT_MODE = "0b0", RGB0_CURRENT = "0b000000", RGB1_CURRENT = "0b000000", RGB2_CURRENT = "0b000000"
) (input CURREN, RGBLEDEN, RGB0PWM, RGB1PWM, RGB2PWM, output RGB0, RGB1, RGB2);
    assign {RGB2, RGB1, RGB0} = ~({RGB2PWM, RGB1PWM, RGB0PWM} & {3{CURREN & RGBLEDEN}});
endmodule
