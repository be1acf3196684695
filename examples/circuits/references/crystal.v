// Reference for the board's crystal: a 16th of the clock at pin 35, 3 MHz where the board gives 48 MHz.
//
// That clock and the window come from one crystal, so a sound board counts what is expected, or one more or less.

`default_nettype none

module crystal (
    input wire ICE_35,
    output wire ICE_27
);
    reg [3:0] count = 0;

    always @(posedge ICE_35) count <= count + 1;

    assign ICE_27 = count[3];
endmodule
